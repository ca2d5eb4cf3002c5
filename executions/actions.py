"""Every write that is asked of executions from outside, from start to finish.

Each is one transaction with its event and its line of activity; a worker's own writes go through
`engine.ends`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from uuid_utils.compat import uuid7

from agents.activity import Actor
from agents.errors import AgentAlreadyRunning, AgentNotFound
from agents.live import hold
from agents.models import Agent, LiveWork, Organization
from agents.runtime.facts import Message, Role
from agents.runtime.limits import reached
from agents.runtime.spec import RunSpec
from boards.models import Board, Task
from executions import configuration, states, stream
from executions.configuration import Wish
from executions.engine import conditions, ends
from executions.engine.dispatch import dispatch_on_commit
from executions.errors import (
    AgentPaused,
    BoardPaused,
    ExecutionState,
    LimitExceeded,
    QueueFull,
    TaskBusy,
    WorkGone,
)
from executions.limits import spent_of
from executions.models import (
    AT_A_LIMIT,
    TERMINAL,
    Condition,
    Entry,
    EntryType,
    Event,
    Execution,
    PauseReason,
    Status,
)
from executions.states import MOVES
from executions.transcripts import Line


def start(agent: Agent, wish: Wish, *, by: Actor) -> Execution:
    """Accept a run of an agent: the row, its first entry, its first event, its line of activity.

    Dispatch follows after the commit. Raises the refusals of `configuration`, `QueueFull`,
    `TaskBusy`, `AgentPaused` and `AgentRunsItself`; nothing is written then.
    """
    try:
        with transaction.atomic():
            held = _hold(agent, wish)
            configuration.check_runs_here(held)
            prompt = configuration.prompt_of(held, wish)
            execution = _new(held, wish, configuration.spec_of(held, wish))
            _note_live_work(execution)
            _first_entry(execution, prompt)
            Event.objects.create(execution=execution, seq=1, type="execution.queued", data={})
            ends.record(execution, "execution.queued", by=by)
            dispatch_on_commit(execution.organization_id)
            stream.publish_on_commit(execution)
    except IntegrityError as error:
        raise _busy(wish.task, error) from error
    return execution


def _hold(agent: Agent, wish: Wish) -> Agent:
    """Lock what the run stands on, in the order of locks, so that nobody changes it meanwhile.

    Raises `AgentNotFound`, `WorkGone`, and `QueueFull` where the board has no room.
    """
    try:
        board = wish.board and Board.objects.select_for_update(no_key=True).get(pk=wish.board.pk)
        if board is not None:
            _keep_room(board)
        if wish.task is not None:
            hold(wish.task)
        held = hold(agent) if wish.may_queue else _with_free_slot(agent, board)
    except Agent.DoesNotExist as error:
        raise AgentNotFound from error
    except (Board.DoesNotExist, Task.DoesNotExist) as error:
        raise WorkGone from error
    return held


def _with_free_slot(agent: Agent, board: Board | None) -> Agent:
    """The agent, locked so that starts come one by one, where a run of it need not queue.

    Raises `AgentPaused`, `AgentAlreadyRunning` (at its own limit) and `LimitExceeded` (at the
    limit of its board or organization).
    """
    held = (
        Agent.objects.select_for_update(no_key=True, of=("self",))
        .select_related("organization")
        .get(pk=agent.pk)
    )
    if held.is_paused:
        raise AgentPaused
    if board is not None and board.is_paused:
        raise BoardPaused
    live = Execution.objects.filter(status__in=[Status.QUEUED, Status.RUNNING, Status.CANCELLING])
    mine = live.filter(agent=held)
    if _is_full(mine, held.max_concurrency):
        at_work = mine.values_list("pk", "task_id").first() or (None, None)
        raise AgentAlreadyRunning(
            current_execution_id=str(at_work[0]), current_task_id=at_work[1] and str(at_work[1])
        )
    if board is not None and _is_full(live.filter(board=board), board.max_concurrent):
        raise LimitExceeded(scope="board", limit=board.max_concurrent)
    organization = _locked_organization(held)
    if _is_full(live.filter(organization=organization), organization.max_concurrent):
        raise LimitExceeded(scope="organization", limit=organization.max_concurrent)
    return held


def _locked_organization(agent: Agent) -> Organization:
    """The agent's organization, locked where it has a limit: its other agents start too."""
    organization = agent.organization
    if organization.max_concurrent is None:
        return organization
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def _is_full(live: QuerySet[Execution], limit: int | None) -> bool:
    return limit is not None and live.count() >= limit


def _keep_room(board: Board) -> None:
    """Under the board's lock: refuse when the queue behind the free slots is full."""
    live = Execution.objects.filter(board=board)
    queued = live.filter(status=Status.QUEUED, admitted_epoch=None).count()
    room = board.max_queue
    if board.max_concurrent is None:
        return
    admitted = live.filter(admitted_epoch__isnull=False).count()
    room += max(0, board.max_concurrent - admitted)
    if queued >= room:
        raise QueueFull(queue_size=queued, max_size=board.max_queue)


def _new(agent: Agent, wish: Wish, spec: RunSpec) -> Execution:
    now = timezone.now()
    return Execution.objects.create(
        organization_id=agent.organization_id,
        agent=agent,
        agent_name=agent.name,
        board=wish.board,
        task=wish.task,
        kind=agent.kind,
        spec=spec.as_json(),
        input=wish.as_input(),
        worker_queue=wish.board.worker_queue if wish.board else "executions",
        priority=wish.priority,
        max_turns=spec.max_turns,
        token_budget=spec.token_budget or None,
        seconds_budget=spec.seconds_budget or None,
        event_seq=1,
        position=1,
        queued_at=now,
        rank=states.rank(now, wish.priority),
        deadline_at=states.clock() + timedelta(seconds=wish.deadline_seconds)
        if wish.deadline_seconds
        else None,
    )


def _note_live_work(execution: Execution) -> None:
    LiveWork.objects.create(
        execution_id=execution.id,
        agent_id=execution.agent_id,
        board_id=execution.board_id,
        task_id=execution.task_id,
    )


def _busy(task: Task | None, error: IntegrityError) -> Exception:
    """The refusal of a task that has live work; any other broken constraint stays what it is."""
    other = LiveWork.objects.filter(task_id=task.pk).first() if task else None
    if task is None or other is None:
        return error
    return TaskBusy(current_task_id=str(task.pk), current_execution_id=str(other.execution_id))


def _first_entry(execution: Execution, prompt: str) -> None:
    row = Line(None).entry(Message(Role.USER, prompt), n=1)
    Entry.objects.create(
        id=row["id"],
        execution=execution,
        position=1,
        turn=0,
        type=row["type"],
        role=row["role"],
        content=row["content"],
    )


def cancel(
    execution: Execution, *, by: Actor, reason: str = "", is_hard: bool = False
) -> Execution:
    """End an execution: at once where nothing runs, by its worker where something does.

    Cancelling what is being cancelled already is no error (a hard cancel hardens it); cancelling
    what has ended is `ExecutionState`.
    """
    asked: dict[str, Any] = {"cancel_requested_at": timezone.now(), "cancel_reason": reason}
    with transaction.atomic():
        execution = _locked(execution)
        member = execution.permit
        if execution.status == Status.RUNNING:
            states.move(
                execution,
                Status.CANCELLING,
                event="execution.cancelling",
                facts={"reason": reason, "hard": is_hard},
                cancel_is_hard=is_hard,
                **asked,
            )
            ends.record(execution, "execution.cancelling", by=by, reason=reason)
            stream.publish_on_commit(execution)
        elif execution.status == Status.CANCELLING:
            Execution.objects.filter(pk=execution.pk).update(
                cancel_is_hard=execution.cancel_is_hard or is_hard
            )
        elif states.move(
            execution,
            Status.CANCELLED,
            frm=MOVES[Status.CANCELLED] - {Status.CANCELLING},
            event="execution.cancelled",
            facts={"reason": reason},
            **asked,
        ):
            ends.announce(execution, member, "execution.cancelled", by=by)
        else:
            raise states.refusal(execution, Status.CANCELLED)
        transaction.on_commit(lambda: stream.call_to_look(execution.id), robust=True)
    return execution


def pause(execution: Execution, *, by: Actor) -> Execution:
    """Stand still: at once where nothing runs, at the next boundary where something does.

    One that is paused with its agent does not go on with it then.
    """
    with transaction.atomic():
        execution = _locked(execution)
        member = execution.permit
        if execution.status == Status.RUNNING:
            Execution.objects.filter(pk=execution.pk).update(pause_requested_at=timezone.now())
            execution.refresh_from_db(fields=["pause_requested_at"])
            ends.record(execution, "execution.pause_requested", by=by)
        elif states.move(
            execution,
            Status.PAUSED,
            frm=[Status.QUEUED, Status.WAITING],
            event="execution.paused",
            facts={"reason": "operator"},
            pause_reason=PauseReason.OPERATOR,
        ):
            ends.announce(execution, member, "execution.paused")
            ends.record(execution, "execution.paused", by=by)
        elif execution.pause_reason == PauseReason.AGENT:
            Execution.objects.filter(pk=execution.pk).update(pause_reason=PauseReason.OPERATOR)
            execution.refresh_from_db(fields=["pause_reason"])
            ends.record(execution, "execution.paused", by=by)
        else:
            raise states.refusal(execution, Status.PAUSED)
        transaction.on_commit(lambda: stream.call_to_look(execution.id), robust=True)
    return execution


def resume(execution: Execution, *, by: Actor, feedback: str = "") -> Execution:
    """Go on with a paused execution: through the queue like any start, with the turns it has had.

    `feedback` goes to the model before its next turn. A wait that is not yet over goes on.
    """
    with transaction.atomic():
        execution = _locked(execution)
        waits = _still_waits(execution)
        to = Status.WAITING if waits else Status.QUEUED
        now = timezone.now()
        place: dict[str, Any] = {"queued_at": now, "rank": states.rank(now, execution.priority)}
        moved = states.move(
            execution,
            to,
            frm=[Status.PAUSED],
            event=f"execution.{to}",
            facts={"reason": "resumed"},
            **({} if waits else place),
        )
        if not moved:
            raise _not_paused(execution)
        _shift_deadline(execution)
        if feedback:
            _inject(execution, feedback)
        ends.record(execution, "execution.resumed", by=by)
        dispatch_on_commit(execution.organization_id)
        stream.publish_on_commit(execution)
    return execution


def _still_waits(execution: Execution) -> bool:
    """Whether a paused execution waits on: not for what has come about meanwhile."""
    conditions.mark(execution.id)
    if not Condition.objects.filter(execution=execution).exists():
        return False
    if not conditions.is_over(execution.id, execution.wait_mode):
        return True
    conditions.drop(execution.id)
    return False


def extend(
    execution: Execution, *, by: Actor, turns: int = 0, tokens: int = 0, seconds: int = 0
) -> Execution:
    """Give a live execution more of these; one that is paused at a limit goes on if that will do.

    Of what has no limit it has enough: nothing is changed there.
    """
    more = {"turns": turns, "tokens": tokens, "seconds": seconds}
    with transaction.atomic():
        execution = _locked(execution)
        if execution.status in TERMINAL:
            raise states.refusal(execution, Status.QUEUED)
        Execution.objects.filter(pk=execution.pk).update(
            max_turns=F("max_turns") + turns,
            token_budget=F("token_budget") + tokens,
            seconds_budget=F("seconds_budget") + seconds,
        )
        execution.refresh_from_db()
        given = {name: count for name, count in more.items() if count}
        ends.record(execution, "execution.extended", by=by, **given)
        if execution.pause_reason in AT_A_LIMIT and not reached(spent_of(execution)):
            resume(execution, by=by)
            execution.refresh_from_db()
    return execution


def finish(execution: Execution, *, by: Actor) -> Execution:
    """End one that is paused at a limit as it is: its output is the last thing that it said."""
    with transaction.atomic():
        execution = _locked(execution)
        moved = states.move(
            execution,
            Status.COMPLETED,
            frm=[Status.PAUSED],
            guard={"pause_reason__in": AT_A_LIMIT},
            event="execution.completed",
            facts={"reason": "finished"},
            output=_last_text(execution),
        )
        if not moved:
            raise _not_at_a_limit(execution)
        ends.announce(execution, "", "execution.completed", by=by)
    return execution


def _last_text(execution: Execution) -> str:
    said = Entry.objects.filter(execution=execution, role=Role.ASSISTANT).exclude(content__text="")
    content = said.order_by("-position").values_list("content", flat=True).first()
    return str(content["text"]) if content else ""


def _shift_deadline(execution: Execution) -> None:
    """A deadline stands still while its execution is paused."""
    paused = Event.objects.filter(execution=execution, type="execution.paused")
    paused_at = paused.order_by("-seq").values_list("created_at", flat=True).first()
    if execution.deadline_at is None or paused_at is None:
        return
    execution.deadline_at += states.clock() - paused_at
    Execution.objects.filter(pk=execution.pk).update(deadline_at=execution.deadline_at)


def _inject(execution: Execution, text: str) -> None:
    """Append a message of a person to the line; the caller holds the row's lock."""
    leaf = Entry.objects.filter(execution=execution).order_by("-position").first()
    Entry.objects.create(
        id=uuid7(),
        execution=execution,
        position=execution.position + 1,
        parent_id=leaf.id if leaf else None,
        turn=execution.turn,
        type=EntryType.INJECTION,
        role=Role.USER,
        content={"text": text},
    )
    Execution.objects.filter(pk=execution.pk).update(position=F("position") + 1)


def _locked(execution: Execution) -> Execution:
    """The row as it is now, under its lock for the rest of the transaction."""
    return Execution.objects.select_for_update(no_key=True).get(pk=execution.pk)


def _not_at_a_limit(execution: Execution) -> ExecutionState:
    reason = {"pause_reason": execution.pause_reason} if execution.pause_reason else {}
    return ExecutionState(
        "Only an execution that is paused at its turn limit or budget can be finished.",
        execution_status=str(execution.status),
        allowed=["paused"],
        allowed_pause_reasons=sorted(map(str, AT_A_LIMIT)),
        **reason,
    )


def _not_paused(execution: Execution) -> ExecutionState:
    return ExecutionState(
        f"The execution is {execution.status}.",
        execution_status=str(execution.status),
        allowed=["paused"],
    )
