"""Merges of approved work: asked for as rows, carried out on workers, once.

A message is only a hint. Each try takes the row under a claim of its own, which lasts as long as
its worker renews it; the commit that the branch is to get is noted under that claim before the
branch moves, so that of two tries one at most moves it, and a try that died is decided by whether
the branch has the commit.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from agents import redis as hints
from agents.activity import Actor
from agents.clock import ClockTimestamp
from agents.errors import Refusal
from agents.hints import send
from agents.models import ActorKind
from boards.actions import change_task
from boards.actions.approvals import already_decided, settle_approval
from boards.models import Approval, ApprovalStatus, Task, TaskStatus
from executions import worktrees
from executions.engine.ends import record
from executions.errors import MergeUnderWay, Superseded
from executions.models import Execution, Merge, MergeStatus, Worktree, WorktreeStatus
from executions.review import ground, problems
from executions.review.ground import Review
from executions.worktrees import RepositoryBusy, Strategy, WorktreeError, places

logger = logging.getLogger(__name__)

BATCH = 100


def channel(merge_id: UUID | str) -> str:
    """Where it is told that a merge has ended."""
    return f"signalbox:merge:{merge_id}"


def under_way(execution: Execution) -> Merge | None:
    """The merge of its work that was asked for and has not ended."""
    return Merge.objects.filter(execution=execution, status=MergeStatus.REQUESTED).first()


def request(review: Review, approval: Approval, *, strategy: str, by: Actor) -> Merge:
    """Ask for a merge, in the transaction that holds the review; a worker is told after it."""
    execution, board = review.execution, review.task.board
    worktree = Worktree.objects.get(execution=execution)
    is_own = places.is_scratch(worktree.repository)
    merge = Merge.objects.create(
        execution=execution,
        worktree=worktree,
        approval_id=approval.id,
        strategy=strategy or board.merge_strategy,
        target="main" if is_own else board.default_branch,
        requester_kind=by.kind,
        requester_id=by.id,
        requester_name=by.name[:200],
    )
    record(execution, "merge.requested", by=by, target_branch=merge.target, strategy=merge.strategy)
    transaction.on_commit(partial(_send, merge), robust=True)
    return merge


def carry_out(merge_id: UUID, worker: Any) -> None:
    """Try the merge, if nobody is at it; what refuses it is kept in its row.

    `worker` is the process's. Its keeper renews the claim for as long as git works: the wait for
    a repository and a fetch of it may each be longer than a lease.
    """
    taken_at = time.monotonic()
    merge = _taken(merge_id)
    if merge is None:
        return
    try:
        with worker.keeper.watch(_claim_of(merge), taken_at=taken_at):
            sha = merge.worktree.merge_sha if _has_happened(merge) else _merged(merge)
    except RepositoryBusy as error:
        logger.info("The merge %s is tried again later: %s", merge_id, error)
    except Superseded:
        logger.info("The merge %s is another's, or was taken back.", merge_id)
    except _Refused as refused:
        _refuse(merge, refused.problem)
    else:
        _close(merge, sha)
        worktrees.remove(Worktree.objects.get(pk=merge.worktree_id))


def send_merges_again() -> int:
    """Merges whose message or whose try is lost; how many there were."""
    lost = _free().filter(sent_at__lt=ClockTimestamp() - settings.EXECUTION_RESEND_AFTER)
    unsent = _free().filter(sent_at=None)
    found = list((lost | unsent).select_related("execution__board").order_by("pk")[:BATCH])
    for merge in found:
        _send(merge)
    return len(found)


def take_back(approval: Approval) -> None:
    """End the merge that a decision or a withdrawal has overtaken, in the transaction of that.

    Raises `MergeUnderWay` once the branch may move.
    """
    if approval.execution_id is None:
        return
    # By the execution, which an index serves.
    rows = Merge.objects.filter(
        execution_id=approval.execution_id,
        approval_id=approval.id,
        status=MergeStatus.REQUESTED,
    )
    # Who notes a commit holds this row too, and the worktree is looked at under it.
    for merge in rows.select_for_update(no_key=True, of=("self",)).select_related("execution"):
        if Worktree.objects.filter(pk=merge.worktree_id, status=WorktreeStatus.MERGING).exists():
            raise MergeUnderWay
        _end_refused(merge, already_decided(approval))


# --- one try ------------------------------------------------------------------------------------


class _Refused(Exception):
    """Nothing was changed, and a person has to do something first."""

    def __init__(self, problem: Refusal) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Claim:
    """The claim of one try, as the keeper knows it."""

    claim_id: UUID


def _claim_of(merge: Merge) -> _Claim:
    assert merge.claim_id is not None
    return _Claim(merge.claim_id)


def _free() -> QuerySet[Merge]:
    """What is asked for and has no try that may be alive."""
    lost = ClockTimestamp() - settings.EXECUTION_LEASE
    rows = Merge.objects.filter(status=MergeStatus.REQUESTED)
    return rows.filter(Q(taken_at=None) | Q(taken_at__lt=lost))


def _taken(merge_id: UUID) -> Merge | None:
    """The merge under a new claim, which no earlier try can note a commit under."""
    claim = uuid4()
    if not _free().filter(pk=merge_id).update(claim_id=claim, taken_at=ClockTimestamp()):
        return None
    rows = Merge.objects.select_related(
        "execution__task", "worktree__execution__board", "worktree__execution__agent"
    )
    # Read after the claim was taken: a commit that was noted before it is seen.
    return rows.filter(pk=merge_id, claim_id=claim).first()


def _has_happened(merge: Merge) -> bool:
    """Whether an earlier try moved the branch. What cannot be found out is asked again later."""
    if merge.worktree.status != WorktreeStatus.MERGING:
        return False
    try:
        return worktrees.recover(merge.worktree, target=merge.target)
    except WorktreeError as error:
        raise RepositoryBusy(str(error)) from error


def _merged(merge: Merge) -> str:
    try:
        return worktrees.merge(
            merge.worktree,
            strategy=Strategy(merge.strategy),
            target=merge.target,
            message=_message(merge),
            note=partial(_note, merge),
        )
    except WorktreeError as error:
        # Of a move that was noted only its answer may be lost.
        merge.worktree.refresh_from_db(fields=["status", "merge_sha"])
        if _has_happened(merge):
            return merge.worktree.merge_sha
        raise _Refused(problems.refusal_of(error)) from error


def _note(merge: Merge, sha: str) -> None:
    """Commit which commit the branch is to get, while the claim holds. Raises `Superseded`."""
    with transaction.atomic():
        if not _mine(merge) or not worktrees.move(
            merge.worktree, WorktreeStatus.MERGING, merge_sha=sha
        ):
            raise Superseded


def _mine(merge: Merge) -> bool:
    """Whether it is still this try's, its row locked until the transaction ends."""
    rows = Merge.objects.filter(pk=merge.pk, status=MergeStatus.REQUESTED, claim_id=merge.claim_id)
    return rows.select_for_update(no_key=True).values_list("pk").first() is not None


def _message(merge: Merge) -> str:
    execution = merge.execution
    title = execution.task.title if execution.task else f"Work of {execution.agent_name}"
    lines = [f"Signalbox-Execution: {execution.pk}", f"Approved-by: {merge.requester_name}"]
    return "\n".join([" ".join(title.split()), "", *lines])


# --- how it ends --------------------------------------------------------------------------------


def _close(merge: Merge, sha: str) -> None:
    """Write down that the branch has the work: once, whoever found it out.

    A task that may not be done by now stays where it is, and the record says why.
    """
    with transaction.atomic():
        found = ground.held(merge.execution)
        pending = Approval.objects.filter(pk=merge.approval_id, status=ApprovalStatus.PENDING)
        approval = pending.select_for_update(no_key=True).first()
        rows = Merge.objects.filter(pk=merge.pk, status=MergeStatus.REQUESTED)
        if not rows.update(status=MergeStatus.MERGED, sha=sha, finished_at=ClockTimestamp()):
            return
        worktrees.move(merge.worktree, WorktreeStatus.MERGED)
        by = Actor(ActorKind(merge.requester_kind), merge.requester_id, merge.requester_name)
        if approval is not None:
            settle_approval(approval, approve=True, by=by)
        refusal = _finish_task(found.task, by)
        facts: dict[str, Any] = {"task_refused": refusal.code} if refusal else {}
        facts |= {"sha": sha, "branch": merge.worktree.branch, "target_branch": merge.target}
        record(found.execution, "worktree.merged", by=by, **facts)
        _publish_on_commit(merge)


def _finish_task(task: Task | None, by: Actor) -> Refusal | None:
    if task is None or task.status != TaskStatus.REVIEW:
        return None
    try:
        with transaction.atomic():
            change_task(task, {"status": TaskStatus.DONE}, by=by)
    except Refusal as refusal:
        return refusal
    return None


def _refuse(merge: Merge, problem: Refusal) -> None:
    """Keep why nothing was merged; the approval stays pending, and the files may be merged yet."""
    with transaction.atomic():
        if not _mine(merge):
            return
        merge.worktree.refresh_from_db(fields=["status"])
        if merge.worktree.status == WorktreeStatus.MERGING:
            worktrees.move(merge.worktree, WorktreeStatus.ACTIVE)
        _end_refused(merge, problem)


def _end_refused(merge: Merge, problem: Refusal) -> None:
    Merge.objects.filter(pk=merge.pk).update(
        status=MergeStatus.REFUSED, problem=problems.kept(problem), finished_at=ClockTimestamp()
    )
    by = Actor(ActorKind(merge.requester_kind), merge.requester_id, merge.requester_name)
    record(merge.execution, "merge.refused", by=by, problem=problem.code)
    _publish_on_commit(merge)


def _publish_on_commit(merge: Merge) -> None:
    transaction.on_commit(partial(hints.publish, channel(merge.pk), {}), robust=True)


def _send(merge: Merge) -> None:
    Merge.objects.filter(pk=merge.pk).update(sent_at=ClockTimestamp())
    board = merge.execution.board
    queue = board.worker_queue if board else merge.execution.worker_queue
    send("executions.tasks.merge", merge.pk, queue=queue)
