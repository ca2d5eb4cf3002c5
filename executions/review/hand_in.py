"""Hands in what has completed: the answer as a comment, the task to review, the merge asked for.

It follows the commit of the end, since a run's own commit holds its execution, and the order of
locks begins with the board. A process may die before it: the sweep does it then.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from agents.activity import SYSTEM, Actor
from agents.clock import ClockTimestamp
from agents.errors import Refusal
from agents.hints import send
from agents.models import LiveWork
from boards.actions import hand_in_task
from boards.actions.comments import write
from boards.models import Approval, Task, TaskStatus
from executions import worktrees
from executions.engine.ends import after_an_end, record
from executions.models import Execution, Status
from executions.review import asked, ground, problems
from executions.worktrees import RepositoryBusy, TreeMissing, WorktreeError, places

logger = logging.getLogger(__name__)

BATCH = 100
LONGEST_COMMENT = 20_000
# What has failed for so long is a person's to see.
TRIED_FOR = timedelta(days=1)


@after_an_end
def follow(execution: Execution) -> None:
    """Hand it in, if it completed; where its diff is missing, a worker has to make that first.

    So it is with what a person finished at a limit: git is on the workers.
    """
    if execution.status != Status.COMPLETED or execution.task_id is None:
        return
    if _lacks_diff(execution):
        _call_a_worker(execution)
    else:
        hand_in(execution)


def hand_in(execution: Execution, problem: dict[str, Any] | None = None) -> None:
    """Bring the task to review, once; nothing where it has gone on without this execution.

    `problem` says why nobody can read what it changed.
    """
    with transaction.atomic():
        found = ground.held(execution)
        row, task = found.execution, found.task
        if row.status != Status.COMPLETED or row.handed_in_at is not None:
            return
        Execution.objects.filter(pk=row.pk).update(handed_in_at=ClockTimestamp())
        if task is not None and _is_its_work(row, task):
            _hand_in(row, task, problem)


def hand_in_with_diff(execution_id: UUID) -> None:
    """The same on a worker, which makes the diff of the files that were kept last.

    A repository that is busy or away leaves it as it is, and the sweep comes back; where no try
    can make the diff any more it is handed in without, and says why.
    """
    rows = Execution.objects.select_related("agent", "board", "task").defer("spec", "output")
    execution = rows.filter(pk=execution_id, handed_in_at=None).first()
    if execution is None or execution.status != Status.COMPLETED:
        return
    try:
        problem = _make_diff(execution)
    except (RepositoryBusy, WorktreeError) as error:
        logger.warning("The work of %s is handed in later: %s", execution_id, error)
        return
    hand_in(execution, problem)


def _make_diff(execution: Execution) -> dict[str, Any] | None:
    """Make and keep the diff where it is missing; if that is impossible for good, why.

    Raises `WorktreeError` and `RepositoryBusy` where another try may succeed.
    """
    if not _lacks_diff(execution):
        return None
    try:
        diff = worktrees.finish_ended(execution)
    except WorktreeError as error:
        if not _is_final(execution, error):
            raise
        return problems.kept(problems.refusal_of(error))
    Execution.objects.filter(pk=execution.pk, handed_in_at=None).update(diff=diff)
    return None


def hand_in_left() -> int:
    """Work that completed and whose process did not live to hand it in; how much there was.

    In turns: what was tried comes behind what was not, so that what keeps failing holds up nothing.
    """
    left = Execution.objects.filter(status=Status.COMPLETED, task__isnull=False, handed_in_at=None)
    turns = left.order_by(F("sent_at").asc(nulls_first=True), "finished_at")
    found = list(turns.defer("spec", "output", "diff")[:BATCH])
    for execution in found:
        try:
            follow(execution)
        except Exception:
            logger.exception("The work of %s could not be handed in.", execution.pk)
            Execution.objects.filter(pk=execution.pk).update(sent_at=ClockTimestamp())
    return len(found)


def _lacks_diff(execution: Execution) -> bool:
    if not execution.tree:
        return False
    return not Execution.objects.filter(pk=execution.pk, diff__isnull=False).exists()


def _is_final(execution: Execution, error: WorktreeError) -> bool:
    """Whether trying again is of no use: the kept files are gone from the host that has them, or
    the tries have failed for a day. Another host may have what this one misses."""
    is_over = Q(finished_at__lt=ClockTimestamp() - TRIED_FOR)
    if isinstance(error, TreeMissing):
        is_over |= Q(worktree__host=places.host())
    return Execution.objects.filter(is_over, pk=execution.pk).exists()


def _call_a_worker(execution: Execution) -> None:
    """Send the hint, but not again while a worker may be at it."""
    long_ago = ClockTimestamp() - settings.EXECUTION_RESEND_AFTER
    rows = Execution.objects.filter(pk=execution.pk, handed_in_at=None)
    if rows.filter(Q(sent_at=None) | Q(sent_at__lt=long_ago)).update(sent_at=ClockTimestamp()):
        send("executions.tasks.hand_in", execution.pk, queue=execution.worker_queue)


def _is_its_work(execution: Execution, task: Task) -> bool:
    """Whether the task still stands as this execution left it."""
    if task.status != TaskStatus.IN_PROGRESS or not ground.is_last(execution):
        return False
    return not LiveWork.objects.filter(task_id=task.pk).exists()


def _hand_in(execution: Execution, task: Task, problem: dict[str, Any] | None) -> None:
    by = asked.author_of(execution)
    # Before the move, which a board may allow only with a comment.
    answer = _answer(execution.output)
    if answer:
        write(task.board, task, answer, by=by)
    refusal = _move(task, by)
    facts: dict[str, Any] = {"problem": problem} if problem else {}
    if refusal is not None:
        facts |= {"refused": refusal.code}
    elif approval := _asked(execution, task, problem):
        facts |= {"approval_id": str(approval.id)}
    record(execution, "execution.handed_in", by=SYSTEM, **facts)


def _asked(execution: Execution, task: Task, problem: dict[str, Any] | None) -> Approval | None:
    """What a person is asked: the move asked for the merge of what was changed."""
    approval = asked.approval_of(execution)
    if approval is None and problem is not None:
        return asked.ask(execution, task, problem=problem)
    return approval


def _move(task: Task, by: Actor) -> Refusal | None:
    """Put it into review, or say what refuses that; it stays where it is then."""
    try:
        with transaction.atomic():
            hand_in_task(task, by=by)
    except Refusal as refusal:
        return refusal
    return None


def _answer(output: Any) -> str:
    """The output as a comment has it; empty where there is none."""
    if output is None or output in ({}, []):
        return ""
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, indent=2)
    if len(text) > LONGEST_COMMENT:
        return f"{text[:LONGEST_COMMENT]}\n\n[cut: {len(text)} characters in all]"
    return text.strip()
