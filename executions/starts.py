"""Starting: a run is accepted in one transaction, its row with all that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from agents.activity import Actor
from agents.clock import clock
from agents.models import Agent, LiveWork
from agents.runtime.facts import Message, Role
from executions import briefing, capacity, configuration, documents, lines, signals, states, stream
from executions.configuration import Wish
from executions.engine import ends
from executions.engine.dispatch import dispatch_on_commit
from executions.grounds import Ground, held
from executions.models import Entry, Event, Execution
from executions.transcripts import Line

QUEUE = "executions"


@dataclass(frozen=True, slots=True)
class Opening:
    """How a run begins: what it is told first, if anything, and its first events with facts."""

    text: str | None
    events: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"execution.queued": {}}
    )


def start(agent: Agent, wish: Wish, *, by: Actor) -> Execution:
    """Accept a run of an agent: the row, its first entry, its first event, its line of activity.

    Dispatch follows after the commit. Raises the refusals of `configuration`, `grounds` and
    `signals`, and `AgentRunsItself`; nothing is written then.
    """
    wanted = Ground(agent.organization_id, agent, wish.board, wish.task, wish.may_queue)
    with held(wanted, by=by) as ground:
        assert ground.agent is not None
        return begin(ground, ground.agent, _briefed(ground, wish), by=by)


def start_inline(made: Agent, wish: Wish, *, by: Actor) -> Execution:
    """Accept a run of no agent: `made` is configured like one, and is no row.

    The same as `start` in all else; the limits of the organization and the board hold.
    """
    wanted = Ground(made.organization_id, None, wish.board, wish.task, wish.may_queue)
    with held(wanted, by=by) as ground:
        return begin(ground, made, _briefed(ground, wish), by=by)


def _briefed(ground: Ground, wish: Wish) -> Wish:
    """The wish with the task's brief before the caller's words, where it asks for that."""
    if not wish.is_briefed or ground.task is None:
        return wish
    return replace(wish, prompt=briefing.of(ground.task, wish.prompt))


def begin(
    ground: Ground, made: Agent, wish: Wish, *, by: Actor, parent: Execution | None = None
) -> Execution:
    """Accept a run on ground that is held; a child has the execution above it as its `parent`."""
    configuration.check_runs_here(made)
    kind = configuration.kind_of(made)
    prompt = configuration.prompt_of(made, wish)
    spec = configuration.spec_of(made, wish)
    execution = new(
        ground,
        parent=parent,
        depth=parent.depth + 1 if parent else 0,
        agent_name=made.name,
        kind=kind.name,
        kind_version=kind.version,
        spec=spec.as_json(),
        input=wish.as_input(),
        priority=wish.priority,
        max_turns=spec.max_turns,
        token_budget=spec.token_budget or None,
        seconds_budget=spec.seconds_budget or None,
        deadline_at=deadline_in(wish.deadline_seconds or kind.timeout),
    )
    accept(execution, Opening(prompt or None), by=by)
    for signal in wish.signals:
        signals.deliver(execution, **signal, by=by)
    return execution


def new(ground: Ground, **fields: Any) -> Execution:
    """The row of a run on this ground, which `accept` writes."""
    now = clock()
    given = {"worker_queue": ground.board.worker_queue} if ground.board else {}
    return Execution(
        organization_id=ground.organization_id,
        agent=ground.agent,
        board=ground.board,
        task=ground.task,
        queued_at=now,
        rank=states.rank(now, fields["priority"]),
        **({"worker_queue": QUEUE} | fields | given),
    )


def deadline_in(seconds: float | None) -> Any:
    """The time so many seconds from now, by PostgreSQL's clock; None has no deadline."""
    return clock() + timedelta(seconds=seconds) if seconds else None


def accept(execution: Execution, opening: Opening, *, by: Actor) -> Execution:
    """Write a new run with its note of live work, opening, events and line of activity.

    In the caller's transaction, which holds its ground; dispatch follows after the commit.
    """
    past = execution.position
    execution.event_seq = len(opening.events)
    execution.position = past + (opening.text is not None)
    execution.save(force_insert=True)
    LiveWork.objects.create(
        execution_id=execution.id,
        agent_id=execution.agent_id,
        board_id=execution.board_id,
        task_id=execution.task_id,
    )
    if opening.text is not None:
        _append(execution, opening.text, leaf=lines.leaf(execution) if past else None)
    for seq, (kind, facts) in enumerate(opening.events.items(), start=1):
        Event.objects.create(execution=execution, seq=seq, type=kind, data=facts)
    if execution.task_id is not None:
        _note_place(execution)
    kind, facts = next(iter(opening.events.items()))
    ends.record(execution, kind, by=by, **facts)
    dispatch_on_commit(execution.organization_id)
    stream.publish_on_commit(execution)
    return execution


def _note_place(execution: Execution) -> None:
    """An event of where the run of a task stands, if a limit keeps it from beginning at once."""
    place = capacity.behind_a_limit(execution)
    if place is None:
        return
    execution.event_seq += 1
    execution.save(update_fields=["event_seq"])
    Event.objects.create(
        execution=execution,
        seq=execution.event_seq,
        type="task.queued",
        data=documents.queue(place) or {},
    )


def _append(execution: Execution, text: str, *, leaf: Any) -> None:
    row = Line(leaf).entry(Message(Role.USER, text), n=1)
    Entry.objects.create(
        id=row["id"],
        execution=execution,
        position=execution.position,
        parent_id=row["parent_id"],
        turn=execution.turn,
        type=row["type"],
        role=row["role"],
        content=row["content"],
    )
