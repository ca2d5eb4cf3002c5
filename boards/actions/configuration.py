"""What may be saved as the configuration of a board, field by field."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from django.core.exceptions import ValidationError

from agents.actions import configuration as of_agents

COPIED_FILES_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "maxItems": 200,
    "uniqueItems": True,
}
# POSIX names; the value is the text of one variable of the agents' commands.
ENVIRONMENT_SHAPE: dict[str, Any] = {
    "type": "object",
    "maxProperties": 200,
    "propertyNames": {"pattern": r"^[A-Za-z_][A-Za-z0-9_]{0,199}$"},
    "additionalProperties": {"type": "string", "maxLength": 32_000},
}
ENVIRONMENT_CHANGES_SHAPE: dict[str, Any] = {
    **ENVIRONMENT_SHAPE,
    "additionalProperties": {"type": ["string", "null"], "maxLength": 32_000},
}
SUCCESS_METRICS_SHAPE: dict[str, Any] = {
    "type": "object",
    "maxProperties": 50,
    "propertyNames": {"minLength": 1, "maxLength": 200},
    "additionalProperties": {"type": ["string", "number"], "maxLength": 1000},
}
MOST_AGENTS = 1000
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The rules of git check-ref-format that matter for one branch name.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|/\.|(\.lock|[/.])$")


def check_repository(value: str) -> None:
    """Refuse what git would take for an option or for a command of its `ext` transport."""
    if value.startswith("-") or value.lower().startswith(("ext::", "fd::")):
        raise ValidationError("This is neither a path nor a URL.", code="invalid")
    if any(character < " " for character in value):
        raise ValidationError("Control characters are not allowed.", code="invalid")


def check_branch(value: str) -> None:
    if _NO_BRANCH.search(value):
        raise ValidationError("git does not accept this as a branch.", code="invalid")


def check_queue(value: str) -> None:
    if not _QUEUE.fullmatch(value):
        raise ValidationError("A queue is named by letters, digits, _ . and -.", code="invalid")


def check_copied_files(value: Any) -> None:
    """Refuse paths that leave the repository or reach into its `.git`."""
    of_agents.check_shape(COPIED_FILES_SHAPE, value)
    _refuse(f"{path}: not a path inside the repository." for path in value if _leaves(path))


def check_environment(value: Any) -> None:
    of_agents.check_shape(ENVIRONMENT_SHAPE, value)


def check_environment_changes(value: Any) -> None:
    of_agents.check_shape(ENVIRONMENT_CHANGES_SHAPE, value)


def check_success_metrics(value: Any) -> None:
    """Refuse what does not map names to texts or numbers."""
    of_agents.check_shape(SUCCESS_METRICS_SHAPE, value)


def check_max_agents(value: int) -> None:
    """Refuse a number of workers that no board has; 0 lets a lead seat none."""
    if not 0 <= value <= MOST_AGENTS:
        raise ValidationError(f"Agents run from 0 to {MOST_AGENTS}.", code="out_of_range")


FIELD_CHECKS: dict[str, Callable[[Any], None]] = {
    "repository": check_repository,
    "default_branch": check_branch,
    "worker_queue": check_queue,
    "copied_files": check_copied_files,
    "environment": check_environment,
    "model": of_agents.check_model,
    "tools": of_agents.check_tools,
    "approval_required": of_agents.check_approval_required,
    "max_turns": of_agents.check_turns,
    "max_concurrent": of_agents.check_limit,
    "success_metrics": check_success_metrics,
    "max_agents": check_max_agents,
}


def check(fields: Mapping[str, Any]) -> None:
    """Raise every problem of the fields at once, as `agents.actions.configuration.check` does."""
    of_agents.check(fields, FIELD_CHECKS)


def check_request(fields: Mapping[str, Any]) -> None:
    """The same for values as they are asked for, before they are merged with what is there."""
    of_agents.check(fields, {"environment": check_environment_changes})


def _leaves(path: str) -> bool:
    parts = PurePosixPath(path).parts
    outside = path.startswith(("/", "~")) or ".." in parts or "\\" in path
    return outside or not parts or parts[0].lower() == ".git"


def _refuse(problems: Iterable[str]) -> None:
    found = sorted(problems)
    if found:
        raise ValidationError([ValidationError(problem, code="invalid") for problem in found])
