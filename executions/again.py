"""Another execution made of one that is there: retried afresh, or forked from a checkpoint."""

from __future__ import annotations

from typing import Any

from django.db import connection

from agents.activity import Actor
from agents.runtime import kinds
from agents.runtime.spec import RunSpec
from executions import configuration, worktrees
from executions.engine import warnings
from executions.errors import CheckpointNotFound, ExecutionState
from executions.grounds import Ground, held
from executions.models import TERMINAL, Checkpoint, Entry, EntryType, Execution
from executions.starts import Opening, accept, deadline_in, new

# What a fork's `input` has besides its original's: the text that it was given at its start.
CONTINUATION = "continuation"

# A commit gives a checkpoint and the steps that it finishes one time, which later ones come after.
_SHARE_STEPS = """
INSERT INTO executions_step
  (id, execution_id, key, kind, digest, result, claim_id, created_at, finished_at)
SELECT gen_random_uuid(), %s, key, kind, digest, result, claim_id, created_at, finished_at
FROM executions_step WHERE execution_id = %s AND finished_at <= %s
"""


def retry(original: Execution, *, by: Actor) -> Execution:
    """Do the same afresh: same agent, frozen configuration, input, board, task and priority.

    It is of the newest version of its kind, as every new execution; but a fork is retried from
    where it was forked, with the version that its state is of. Only what has ended is retried;
    else raises `ExecutionState`. Raises the refusals of a start too, among them `TaskBusy`.
    """
    original = _whole(original)
    if original.status not in TERMINAL:
        raise _not_ended(original)
    spec = RunSpec.from_json(original.spec)
    with held(_ground(original), by=by) as ground:
        begun_at = _begun_at(original)
        execution = _another(
            original,
            ground,
            begun_at,
            retry_of=original,
            forked_from_id=original.forked_from_id,
            kind_version=original.kind_version if begun_at else _newest_version(original),
            max_turns=spec.max_turns,
            token_budget=spec.token_budget or None,
            seconds_budget=spec.seconds_budget or None,
        )
        facts = {"retry_of": str(original.id)}
        accept(execution, Opening(_first_text(original), {"execution.queued": facts}), by=by)
        _share(execution, begun_at)
    return execution


def rework(original: Execution, *, text: str, by: Actor) -> Execution:
    """Go on where an execution ended, in another one that takes over its files.

    A conversation goes on behind its last word; the code of any other kind with what it knew at
    its last checkpoint. Turns count on. In the caller's transaction, which holds the original;
    raises the refusals of a start.
    """
    original = _whole(original)
    execution = _forked(original, _end_of(original), by=by, text=text)
    worktrees.hand_over(original, execution)
    return execution


def fork(original: Execution, *, checkpoint: int, by: Actor, text: str = "") -> Execution:
    """Go on from a checkpoint in a new execution, which shares everything up to there.

    Entries are shared by reference, files by their kept commit; turns, state and the memory of
    finished steps go on from the checkpoint. `text` is what it is told first. The fork of a live
    execution has no task, as a task has one live execution; else it has its original's. Raises
    `CheckpointNotFound`, and the refusals of a start.
    """
    original = _whole(original)
    begun_at = Checkpoint.objects.filter(execution=original, sequence=checkpoint).first()
    if begun_at is None:
        raise CheckpointNotFound(checkpoint=checkpoint, latest=original.checkpoint or None)
    return _forked(original, begun_at, by=by, text=text)


def _forked(original: Execution, begun_at: Checkpoint, *, by: Actor, text: str) -> Execution:
    with held(_ground(original), by=by) as ground:
        execution = _another(
            original,
            ground,
            begun_at,
            forked_from=original,
            input=_continued(original.input, text),
            max_turns=original.max_turns,
            token_budget=original.token_budget,
            seconds_budget=original.seconds_budget,
        )
        facts = {"forked_from": str(original.id), "checkpoint": begun_at.sequence}
        events = {"execution.forked": facts, "execution.queued": {}}
        accept(execution, Opening(text or None, events), by=by)
        _share(execution, begun_at)
    return execution


def _whole(execution: Execution) -> Execution:
    whole = Execution.objects.select_related("agent", "board", "task")
    return whole.get(pk=execution.pk)


def _ground(original: Execution) -> Ground:
    """Where its like belongs; what has been deleted since is gone from there too."""
    task = original.task if original.status in TERMINAL else None
    return Ground(original.organization_id, original.agent, original.board, task)


def _another(
    original: Execution, ground: Ground, begun_at: Checkpoint | None, **fields: Any
) -> Execution:
    """The row of an execution like this one, which begins at the checkpoint or at nothing."""
    if ground.agent is not None:
        configuration.check_runs_here(ground.agent)
    if begun_at is not None:
        fields |= {
            "fork_position": begun_at.position,
            "position": begun_at.position,
            "turn": begun_at.turn,
            "checkpoint": begun_at.sequence,
            "tree": begun_at.tree,
            "usage": warnings.of_a_fork(begun_at.turn, is_conversation=_is_conversation(original)),
        }
    same = ("agent_name", "kind", "kind_version", "spec", "input", "priority", "worker_queue")
    deadline = original.deadline_at
    lasts = (deadline - original.created_at).total_seconds() if deadline else None
    kept = {name: getattr(original, name) for name in same}
    return new(ground, **{**kept, "deadline_at": deadline_in(lasts), **fields})


def _begun_at(execution: Execution) -> Checkpoint | None:
    """The checkpoint that a fork began at, as it has it itself."""
    if execution.forked_from_id is None:
        return None
    own = Checkpoint.objects.filter(execution=execution, position=execution.fork_position or 0)
    return own.order_by("sequence").first()


def _end_of(original: Execution) -> Checkpoint:
    """Where the rework of an execution begins; it is no row of the original's."""
    last = Checkpoint.objects.filter(execution=original).order_by("sequence").last()
    if _is_conversation(original):
        assert original.finished_at is not None
        position, turn, known_at = original.position, original.turn, original.finished_at
    elif last is not None:
        position, turn, known_at = last.position, last.turn, last.created_at
    else:
        position, turn, known_at = 0, 0, original.created_at
    return Checkpoint(
        execution=original,
        sequence=original.checkpoint + 1,
        position=position,
        turn=turn,
        state=last.state if last else {},
        # The files that were handed in, in any case.
        tree=original.tree,
        created_at=known_at,
    )


def _is_conversation(execution: Execution) -> bool:
    kind = kinds.find(execution.kind, execution.kind_version)
    return kind is not None and kind.takes_messages


def _newest_version(original: Execution) -> str:
    kind = kinds.newest(original.kind)
    return kind.version if kind else original.kind_version


def _share(execution: Execution, begun_at: Checkpoint | None) -> None:
    """Give a fork the checkpoint that it begins at, and what was done by then.

    An effect of agent code that the past has is not had again: its step is remembered.
    """
    if begun_at is None:
        return
    own = Checkpoint.objects.create(
        execution=execution,
        sequence=begun_at.sequence,
        position=begun_at.position,
        turn=begun_at.turn,
        state=begun_at.state,
        tree=begun_at.tree,
    )
    # By the clock of the steps, which is PostgreSQL's: by this process's own, those that it shares
    # might seem to come after it, and its next ones before.
    Checkpoint.objects.filter(pk=own.pk).update(created_at=begun_at.created_at)
    with connection.cursor() as cursor:
        cursor.execute(_SHARE_STEPS, [execution.id, begun_at.execution_id, begun_at.created_at])


def _first_text(original: Execution) -> str | None:
    """What it was told at its start."""
    if original.forked_from_id is not None:
        text = original.input.get(CONTINUATION)
        return None if text is None else str(text)
    if not (original.input.get("prompt") or original.input.get("action")):
        return None  # What stands first was said by the code of its kind.
    first = Entry.objects.filter(execution=original, position=1, type=EntryType.MESSAGE).first()
    return None if first is None else str(first.content["text"])


def _continued(given: dict[str, Any], text: str) -> dict[str, Any]:
    """The input of a fork: that of its original, with its own continuation or none."""
    kept = {name: value for name, value in given.items() if name != CONTINUATION}
    return kept | ({CONTINUATION: text} if text else {})


def _not_ended(execution: Execution) -> ExecutionState:
    return ExecutionState(
        f"The execution is {execution.status}; only what has ended is retried.",
        execution_status=str(execution.status),
        allowed=sorted(map(str, TERMINAL)),
    )
