"""Why an execution is not running, in sentences for people and codes and facts for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings

from agents.models import Activity, ActorKind
from agents.remote import is_remote
from agents.runtime.kinds import label_of
from boards.models import ApprovalStatus
from executions import documents
from executions.models import Condition, Execution, PauseReason, Status
from executions.review import shown
from executions.standing import Limit, Standing, standing


class Because(StrEnum):
    """What a reason is about; stable."""

    AGENT_PAUSED = "agent_paused"
    BOARD_PAUSED = "board_paused"
    ORGANIZATION_FULL = "organization_full"
    BOARD_FULL = "board_full"
    AGENT_FULL = "agent_full"
    NO_WORKER = "no_worker"
    KIND_MISSING = "kind_missing"
    WORKERS_BUSY = "workers_busy"
    ADMITTED = "admitted"
    IN_LINE = "in_line"
    RUNNING = "running"
    PAUSE_REQUESTED = "pause_requested"
    LEASE_LOST = "lease_lost"
    CANCELLING = "cancelling"
    WAITING = "waiting"
    PAUSED_BY_PERSON = "paused_by_person"
    TURN_LIMIT = "turn_limit"
    BUDGET = "budget"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HANDING_IN = "handing_in"
    IN_REVIEW = "in_review"
    MERGING = "merging"
    REVIEWED = "reviewed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is so, and what would change it (empty where nothing need)."""

    code: Because
    text: str
    goes_on: str = ""


Reasons = Iterator[Reason]
_SYSTEM = ActorKind.SYSTEM
_MESSAGES = "/api/v0/messages"


def explain(execution: Execution) -> dict[str, Any]:
    """The document of `GET /{id}/explain`; what does not apply is null or empty."""
    now = standing(execution)
    row, reasons = now.execution, reasons_of(now)
    return {
        "exec_id": row.id,
        "status": row.status,
        "summary": " ".join(part for each in reasons for part in (each.text, each.goes_on) if part),
        "reasons": [asdict(reason) for reason in reasons],
        "since": now.since() or row.finished_at or row.queued_at,
        "queue": documents.queue(now.place),
        "limits": [asdict(limit) | {"is_full": limit.is_full} for limit in now.limits],
        "wait": documents.wait(row),
        "asked_by": _asked_by(now),
        "last_failure": _last_failure(now),
        "recoveries": {"count": row.recoveries, "limit": settings.EXECUTION_MAX_RECOVERIES},
        "worker": _worker(now),
        "next_attempt_at": _next_attempt(row),
        "finished_at": row.finished_at,
    }


def reasons_of(now: Standing) -> list[Reason]:
    """Why it stands as it does, what weighs most first; there is always one."""
    return list(_BY_STATUS[Status(now.execution.status)](now))


# --- queued ------------------------------------------------------------------------------------


def _queued(now: Standing) -> Reasons:
    row = now.execution
    found = [*_paused_above(now), *(_full(each) for each in now.limits if each.is_full)]
    yield from found
    if not now.fleet.live:
        yield _no_worker(row)
    elif not now.fleet.able:
        yield _kind_missing(row)
    elif row.admitted_epoch is not None:
        yield _admitted(now)
    elif not found:
        yield _in_line(now)


def _no_worker(row: Execution) -> Reason:
    queue = row.worker_queue
    if is_remote(row.kind):
        return Reason(
            Because.NO_WORKER,
            f"No worker outside polls for {row.kind} in the queue {queue}.",
            "It goes on when one does: POST /api/v0/dispatch/poll.",
        )
    return Reason(
        Because.NO_WORKER,
        f"No live worker takes work of the queue {queue}.",
        f"It goes on when one is started: celery -A config worker --queues {queue}.",
    )


def _kind_missing(row: Execution) -> Reason:
    kind = label_of(row.kind, row.kind_version)
    return Reason(
        Because.KIND_MISSING,
        f"No live worker of the queue {row.worker_queue} has the kind {kind}.",
        "It goes on when one is started whose SIGNALBOX_MODULES name the module of this kind.",
    )


def _paused_above(now: Standing) -> Reasons:
    agent, board = now.execution.agent, now.execution.board
    if agent is not None and agent.is_paused:
        yield _agent_paused(now)
    if board is not None and board.is_paused:
        text = f"Its board {board.name} is paused."
        yield Reason(Because.BOARD_PAUSED, text, "It goes on when the board is resumed.")


def _agent_paused(now: Standing) -> Reason:
    name = now.execution.agent.name if now.execution.agent else now.execution.agent_name
    text = f"Its agent {name} is paused."
    return Reason(Because.AGENT_PAUSED, text, "It goes on when the agent is resumed.")


def _full(limit: Limit) -> Reason:
    return Reason(
        Because(f"{limit.scope}_full"),
        f"Its {limit.scope} {limit.name} has {limit.held} of {limit.limit} executions at work.",
        "It goes on when one of them leaves, or the limit is raised.",
    )


def _admitted(now: Standing) -> Reason:
    fleet = now.fleet
    if fleet.at_work >= fleet.threads:
        text = f"It has its permit, and all {fleet.threads} threads of its workers are at work."
        return Reason(Because.WORKERS_BUSY, text, "It goes on when one is free.")
    return Reason(Because.ADMITTED, "It has its permit, and a worker is about to take it.")


def _in_line(now: Standing) -> Reason:
    before = now.place.position - 1 if now.place else 0
    if before:
        others = "another stands" if before == 1 else f"{before} others stand"
        return Reason(Because.IN_LINE, f"It is queued, and {others} before it.")
    return Reason(
        Because.IN_LINE, "It is queued, and next; nothing stands in its way that rows tell of."
    )


# --- with a worker -----------------------------------------------------------------------------


def _running(now: Standing) -> Reasons:
    row = now.execution
    if _is_lease_over(now):
        yield _lease_lost(now, "goes back to the queue")
        return
    yield Reason(
        Because.RUNNING, f"It is at work in turn {row.turn + 1}, on the worker {row.worker}."
    )
    if row.pause_requested_at is not None:
        who = _name_of(_newest(now, "execution.pause_requested"))
        yield Reason(Because.PAUSE_REQUESTED, f"{who} asked it to pause at its next boundary.")


def _cancelling(now: Standing) -> Reasons:
    who = _name_of(_asker(now))
    yield Reason(Because.CANCELLING, f"{who} cancelled it{_because(now)}; its worker is to end it.")
    if _is_lease_over(now):
        yield _lease_lost(now, "is cancelled")


def _is_lease_over(now: Standing) -> bool:
    ends_at = now.execution.lease_expires_at
    return ends_at is not None and ends_at < now.now


def _lease_lost(now: Standing, what: str) -> Reason:
    row = now.execution
    assert row.lease_expires_at is not None
    ago = _for_people(now.now - row.lease_expires_at)
    text = f"Its worker {row.worker} has not renewed its lease, which ended {ago} ago."
    return Reason(Because.LEASE_LOST, text, f"With the next sweep of any worker it {what}.")


# --- waiting, paused ---------------------------------------------------------------------------


def _waiting(now: Standing) -> Reasons:
    found = list(_conditions(now))
    yield from found or [Reason(Because.WAITING, "It waits, and no row says for what.")]


def _conditions(now: Standing) -> Reasons:
    conditions = list(now.execution.conditions.all())
    if not conditions:
        return
    named = "; ".join(_described(condition) for condition in conditions)
    several = f"{now.execution.wait_mode} of these: " if len(conditions) > 1 else ""
    is_open = [each for each in conditions if not each.met_at]
    how = [words for each in is_open if (words := _how_to_go_on(each))]
    if any(each.kind == Condition.Kind.QUESTION for each in is_open):
        how.append(_how_long(now))
    yield Reason(Because.WAITING, f"It waits for {several}{named}.", " ".join(how))


def _how_to_go_on(condition: Condition) -> str:
    """What a person can do about it; empty where that is not theirs."""
    if condition.kind == Condition.Kind.QUESTION:
        return f"A person answers: POST {_MESSAGES}/{condition.target_id}/answer."
    if condition.kind != Condition.Kind.TOOL_CALL:
        return ""
    call = f"{documents.address(condition.execution_id)}/tool-calls/{condition.target_id}"
    return f"A person decides: POST {call}/approve, or {call}/reject with a reason."


def _how_long(now: Standing) -> str:
    deadline = now.execution.deadline_at
    if deadline is None:
        return "It has no deadline, and waits for as long as nobody does."
    if now.execution.status == Status.PAUSED:
        return "Its deadline stands still while it is paused."
    return f"It fails at its deadline, {_time(deadline)}, if nobody has."


def _described(condition: Condition) -> str:
    about = f" {condition.name or condition.target_id}"
    words = {
        Condition.Kind.TIMER: f"{_time(condition.due_at)}",
        Condition.Kind.SIGNAL: f"the signal{about}",
        Condition.Kind.APPROVAL: f"the decision on approval{about}",
        Condition.Kind.TOOL_CALL: f"a person's decision on its call of {condition.name}",
        Condition.Kind.QUESTION: f"people's answer to its question “{condition.name}”",
        Condition.Kind.JOB: f"the end of job{about}",
        Condition.Kind.CHILD: f"the end of its child{about}",
    }
    notes = [condition.reason.replace("_", " ")] if condition.reason else []
    notes += ["met"] if condition.met_at else []
    return words[Condition.Kind(condition.kind)] + (f" ({', '.join(notes)})" if notes else "")


def _paused(now: Standing) -> Reasons:
    row = now.execution
    yield _PAUSES[PauseReason(row.pause_reason)](now)
    yield from _conditions(now)


def _paused_by_person(now: Standing) -> Reason:
    text = f"{_name_of(_asker(now))} paused it at {_time(now.since())}."
    return Reason(Because.PAUSED_BY_PERSON, text, "It goes on when somebody resumes it.")


def _at_turn_limit(now: Standing) -> Reason:
    row = now.execution
    text = f"It has had {row.turn} of {row.max_turns} turns."
    return Reason(Because.TURN_LIMIT, text, _AT_A_LIMIT)


def _at_budget(now: Standing) -> Reason:
    row = now.execution
    used = row.usage.get("input_tokens", 0) + row.usage.get("output_tokens", 0)
    parts = []
    if row.token_budget is not None:
        parts.append(f"{used} of {row.token_budget} tokens")
    if row.seconds_budget is not None:
        parts.append(f"{row.usage.get('seconds', 0):g} of {row.seconds_budget} seconds of work")
    return Reason(Because.BUDGET, f"It has used {' and '.join(parts)}.", _AT_A_LIMIT)


_AT_A_LIMIT = "It goes on when it is extended; or it is finished as it is, or cancelled."


# --- ended -------------------------------------------------------------------------------------


def _completed(now: Standing) -> Reasons:
    at = _time(now.execution.finished_at)
    yield Reason(Because.COMPLETED, f"It completed at {at}, after {now.execution.turn} turns.")
    if now.review is not None:
        yield _reviewed(now.review)


def _reviewed(review: Mapping[str, Any]) -> Reason:
    status, merge = review["status"], review.get("merge")
    if status == shown.HANDING_IN:
        text = "Its work is about to be handed in."
        return Reason(Because.HANDING_IN, text, "A worker or the next sweep does it.")
    if status == shown.MERGING and merge:
        text = f"Its work was approved, and is to be merged into {merge['target']}."
        return Reason(Because.MERGING, text, "A worker of its board's queue does it.")
    if status == ApprovalStatus.WITHDRAWN:
        text = "What was asked about its work was withdrawn."
        return Reason(Because.REVIEWED, text, "It is asked again when its task comes into review.")
    if status != ApprovalStatus.PENDING:
        return Reason(Because.REVIEWED, f"Its work was {status}.")
    text = "Its work is in review."
    if problem := review.get("problem"):
        text += f" What it changed cannot be read: {problem['detail']}"
    if merge and merge["problem"]:
        text += f" The last merge was refused: {merge['problem']['detail']}"
    return Reason(Because.IN_REVIEW, text, "It is decided by POST to its approve or reject.")


def _failed(now: Standing) -> Reasons:
    row = now.execution
    text = f"It failed at {_time(row.finished_at)} with {row.failure_code}: {row.failure_message}"
    yield Reason(
        Because.FAILED, text, "A retry starts it afresh; a fork goes on from a checkpoint."
    )


def _cancelled(now: Standing) -> Reasons:
    who, at = _name_of(_asker(now)), _time(now.execution.finished_at)
    text = f"{who} cancelled it at {at}{_because(now)}."
    yield Reason(Because.CANCELLED, text, _AGAIN)


_AGAIN = "A retry starts it afresh; a fork goes on from a checkpoint."


_BY_STATUS: Mapping[Status, Callable[[Standing], Reasons]] = {
    Status.QUEUED: _queued,
    Status.RUNNING: _running,
    Status.CANCELLING: _cancelling,
    Status.WAITING: _waiting,
    Status.PAUSED: _paused,
    Status.COMPLETED: _completed,
    Status.FAILED: _failed,
    Status.CANCELLED: _cancelled,
}
_PAUSES: Mapping[PauseReason, Callable[[Standing], Reason]] = {
    PauseReason.OPERATOR: _paused_by_person,
    PauseReason.AGENT: _agent_paused,
    PauseReason.TURN_LIMIT: _at_turn_limit,
    PauseReason.BUDGET: _at_budget,
}


# --- parts of the document, words --------------------------------------------------------------


def _asked_by(now: Standing) -> dict[str, Any] | None:
    """Who paused or cancelled what is paused, cancelling or cancelled; None where it was nobody."""
    line = _asker(now)
    if line is None or line.actor_kind == _SYSTEM:
        return None
    return {"kind": line.actor_kind, "id": line.actor_id, "name": line.actor_name}


def _asker(now: Standing) -> Activity | None:
    kinds = {
        Status.PAUSED: ("execution.paused", "execution.pause_requested"),
        Status.CANCELLING: ("execution.cancelling",),
        Status.CANCELLED: ("execution.cancelling", "execution.cancelled"),
    }
    return _newest(now, *kinds.get(Status(now.execution.status), ()))


def _newest(now: Standing, *kinds: str) -> Activity | None:
    """The newest line of these kinds; a worker that carried out a wish is not who had it."""
    lines = [line for line in now.by if line.type in kinds]
    wishes = (line for line in lines if line.actor_kind != _SYSTEM)
    return next(wishes, lines[0] if lines else None)


def _last_failure(now: Standing) -> dict[str, Any] | None:
    row = now.execution
    if row.status == Status.FAILED:
        failed: dict[str, Any] = {"code": row.failure_code, "message": row.failure_message}
        return failed | {"at": row.finished_at}
    lost = now.told.get("execution.recovered")
    if lost is None:
        return None
    worker = lost.data.get("worker", "")
    message = f"Its worker {worker} was lost." if worker else "Its worker was lost."
    return {"code": "WORKER_LOST", "message": message, "at": lost.created_at}


def _worker(now: Standing) -> dict[str, Any] | None:
    row, last = now.execution, now.fleet.last
    if not row.worker:
        return None
    ends_at = row.lease_expires_at
    left = None if ends_at is None else round((ends_at - now.now).total_seconds(), 1)
    return {
        "name": row.worker,
        "is_alive": now.fleet.is_last_alive,
        "seen_at": last.seen_at if last else None,
        "lease_expires_at": ends_at,
        "lease_seconds_left": left,
    }


def _next_attempt(row: Execution) -> datetime | None:
    if row.status != Status.WAITING:
        return None
    due = [condition.due_at for condition in row.conditions.all() if condition.due_at]
    return min(due, default=None)


def _name_of(line: Activity | None) -> str:
    if line is None or line.actor_kind == _SYSTEM:
        return "Signalbox"
    return line.actor_name or f"A {line.actor_kind}"


def _because(now: Standing) -> str:
    reason = now.execution.cancel_reason
    return f" ({reason})" if reason else ""


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"


def _for_people(age: timedelta) -> str:
    return f"{max(0, round(age.total_seconds()))} s"
