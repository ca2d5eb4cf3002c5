"""What a worker outside adds to an execution's line: entries, with their calls and their usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ValidationError

from agents.runtime.facts import Message, Role, ToolRequest, Usage
from executions import lines
from executions.engine.claim import Batch
from executions.engine.toolcalls import digest, prepared, settled
from executions.models import CallStatus, EntryType, Step, ToolCall
from executions.remote.errors import EntriesMismatch, EntryNotFound, EntryNotLeaf
from executions.remote.run import RemoteRun
from executions.transcripts import Line

# In the memory of an execution's effects, which entries share with nothing else of a worker's.
_KIND = "entries"
_MOST_TOLD = 2000
_OPEN = (CallStatus.PREPARED, CallStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One entry; `turn` left out is the turn under way, or the next where a model has replied."""

    type: EntryType
    message: Message
    turn: int | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    outcome: CallStatus = CallStatus.COMPLETE

    @property
    def is_reply(self) -> bool:
        return self.type == EntryType.LLM_CALL


def append(
    run: RemoteRun,
    new: Sequence[NewEntry],
    *,
    asked: Any,
    key: str = "",
    parent: UUID | None = None,
) -> dict[str, Any]:
    """Append entries to the line, all or none; with a key once, however often it is sent.

    `asked` is the request as it came, by which a key that stands for another is found out.
    Raises `EntriesMismatch`, `EntryNotLeaf`, `EntryNotFound`, and `ExecutionState` for anything
    but results of tools while the run is to be cancelled.
    """
    known = _known(run, key, asked) if key else None
    if known is not None:
        run.commit(run.batch())
        return known
    if any(entry.type != EntryType.TOOL_RESULT for entry in new):
        run.require_running()
    leaf = run.leaf
    if parent is not None:
        _check_leaf(run, parent, leaf)
    return _Appending(run, leaf).append(new, key=key, asked=asked)


def _known(run: RemoteRun, key: str, asked: Any) -> dict[str, Any] | None:
    """What the same request was answered before."""
    step = Step.objects.filter(execution=run.id, key=_key(key)).first()
    if step is None:
        return None
    if step.digest != digest(asked):
        raise EntriesMismatch
    return {"entries": step.result, "repeated": True}


def _key(key: str) -> str:
    return f"{_KIND}:{key}"


def _check_leaf(run: RemoteRun, parent: UUID, leaf: UUID | None) -> None:
    """Refuse a parent that is not the last entry of the line."""
    if parent == leaf:
        return
    if not lines.entries(run.execution).filter(pk=parent).exists():
        raise EntryNotFound
    raise EntryNotLeaf(leaf=None if leaf is None else str(leaf))


class _Appending:
    """Entries on their way into the line, each in a commit of its own, in one transaction.

    One by one, because a turn, a reply's calls and a call's outcome belong to one entry each.
    """

    def __init__(self, run: RemoteRun, leaf: UUID | None) -> None:
        self._run, self._line = run, Line(leaf)
        self._position = run.execution.position
        self._written: list[dict[str, Any]] = []

    def append(self, new: Sequence[NewEntry], *, key: str, asked: Any) -> dict[str, Any]:
        for entry in new:
            batch = self._run.batch()
            if not self._written:
                self._run.consume(batch, by_key=key or _KIND)
            self._add(batch, entry)
            if key and len(self._written) == len(new):
                batch.step(_key(key), _KIND, digest(asked), self._written)
            self._run.commit(batch)
        return {"entries": self._written, "repeated": False}

    def _add(self, batch: Batch, entry: NewEntry) -> None:
        usage = _counted(entry.usage) if entry.usage else None
        row = self._line.entry(entry.message, n=1, type=entry.type, usage=usage)
        batch.entries.append(row)
        self._position += 1
        self._written.append({"id": row["id"], "position": self._position})
        if entry.usage:
            _count(batch.usage, str(entry.usage.get("model", "")), usage or {})
        self._turn(batch, entry)
        requests = entry.message.tool_requests
        batch.calls = [prepared(request, n) for n, request in enumerate(requests, start=1)]
        if entry.type == EntryType.TOOL_RESULT:
            self._settle(batch, entry)

    def _turn(self, batch: Batch, entry: NewEntry) -> None:
        """The turn that the entry belongs to. Turns are counted up, and never back."""
        now = self._run.execution.turn
        turn = entry.turn if entry.turn is not None else now + entry.is_reply
        if turn < now:
            raise ValidationError({"entries": [f"The execution is in turn {now} already."]})
        if turn == now:
            return
        batch.turn = turn
        said = entry.message.content[:_MOST_TOLD] if entry.is_reply else ""
        batch.event("execution.turn", turn=turn, text=said)

    def _settle(self, batch: Batch, entry: NewEntry) -> None:
        """The outcome of a call that is in the ledger; a worker may keep others to itself."""
        call_id = entry.message.call_id
        open_calls = ToolCall.objects.filter(execution=self._run.id, status__in=_OPEN)
        call = open_calls.filter(call_id=call_id).order_by("-id").first()
        if call is None:
            return
        batch.settled = settled(call.id, entry.outcome, entry.message.content)
        batch.event("tool.finished", name=call.name, call_id=call_id, outcome=str(entry.outcome))


def new_entry(fields: Mapping[str, Any]) -> NewEntry:
    """The entry that the valid fields of a body say."""
    message = Message(
        Role(fields["role"]),
        fields["text"],
        tool_requests=tuple(ToolRequest(**each) for each in fields["tool_requests"]),
        call_id=fields["call_id"],
        tool_name=fields["tool_name"],
    )
    return NewEntry(
        EntryType(fields["type"]),
        message,
        turn=fields.get("turn"),
        usage=fields.get("usage") or {},
        outcome=CallStatus(fields["outcome"]),
    )


def _counted(usage: Mapping[str, Any]) -> dict[str, int]:
    return {name: usage.get(name, 0) for name in asdict(Usage())}


def _count(whole: Any, model: str, counted: Mapping[str, int]) -> None:
    """Add an entry's usage to the execution's, in all and by model."""
    rows: list[dict[str, Any]] = [dict(row) for row in whole.get("by_model", [])]
    mine = next((row for row in rows if row["model"] == model), None)
    if mine is None:
        mine = {"model": model, **asdict(Usage())}
        rows.append(mine)
    for row in (whole, mine):
        for name, value in counted.items():
            row[name] = row.get(name, 0) + value
    whole["by_model"] = rows
