"""What refuses a merge: git's errors as answers have them, kept in a row and read from it."""

from __future__ import annotations

import json
from typing import Any

from rest_framework.utils.encoders import JSONEncoder

from agents.errors import Refusal
from boards.actions.approvals import AlreadyDecided
from executions import errors
from executions.worktrees import WorktreeError

_BY_CODE: dict[str, type[Refusal]] = {
    each.code: each
    for each in (
        AlreadyDecided,
        errors.MergeFailed,
        errors.NotAGitRepository,
        errors.TargetCheckedOut,
        errors.TreeMissing,
        errors.WorktreeMergeConflict,
    )
}


def refusal_of(error: WorktreeError) -> Refusal:
    """The answer to a merge that git, or the disk, refused."""
    facts: dict[str, Any] = {}
    if isinstance(files := getattr(error, "files", None), list):
        facts["files"] = files
    if error.code not in _BY_CODE:
        facts["cause"] = error.code
    return _BY_CODE.get(error.code, errors.MergeFailed)(str(error), **facts)


def kept(refusal: Refusal) -> dict[str, Any]:
    """The refusal as a row has it."""
    facts = json.loads(json.dumps(refusal.facts, cls=JSONEncoder))
    return {"code": refusal.code, "detail": str(refusal.detail), "facts": facts}


def read(problem: dict[str, Any]) -> Refusal:
    """The refusal that the row has."""
    made = _BY_CODE.get(problem.get("code", ""), errors.MergeFailed)
    return made(problem.get("detail", ""), **problem.get("facts", {}))
