"""The ledger's side of a tool call: prepared with the reply, running before, settled after."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from agents.clock import ClockTimestamp, clock
from agents.rest import idempotency
from agents.runtime.facts import Outcome, ToolRequest, ToolResult, Whole
from agents.runtime.tools.text import clip, whole_of
from executions.engine.claim import Settled
from executions.models import CallStatus, Execution, ToolCall

# Of an output in its row, in bytes.
MOST_SHOWN = 64 * 1024
OPEN = (CallStatus.PREPARED, CallStatus.AWAITING_APPROVAL, CallStatus.RUNNING)
_UNKNOWN = (
    "This call was interrupted when its worker was lost, and its outcome is unknown: it may have "
    "taken effect in part, wholly, or not at all. Files are as they were kept before the call. "
    "Look before you repeat it."
)
_WITHDRAWN = "The execution ended before this call was run, and nobody can decide on it any more."

# Half the life of an idempotency key: a call that is made again within it finds its key, also one
# that takes long to begin. A computer that slept longer is told that the outcome is unknown.
REPEATED_WITHIN = idempotency.LIFETIME / 2


def digest(arguments: Any) -> str:
    """SHA-256 of the canonical JSON of a call's arguments, in hex."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def prepared(request: ToolRequest, n: int, *, needs_approval: bool = False) -> dict[str, Any]:
    """The ledger's row for the `n`th call of a reply, as the commit of the reply writes it."""
    arguments = dict(request.arguments)
    return {
        "n": n,
        "id": str(uuid7()),
        "call_id": request.call_id,
        "name": request.name,
        "arguments": arguments,
        "arguments_digest": digest(arguments),
        "problem": request.problem,
        "needs_approval": needs_approval,
    }


@dataclass(frozen=True, slots=True)
class _Open:
    """A call that has no outcome yet, as this run found or wrote it."""

    id: UUID
    status: CallStatus
    needs_approval: bool


class Ledger:
    """The open calls of a run: which row is which, and what a lost claim left of them."""

    def __init__(self, execution: Execution) -> None:
        self._rows: dict[str, _Open] = {}
        if execution.epoch > 1:  # Before the first claim there are none.
            self._read(execution.id)

    def _read(self, execution_id: UUID) -> None:
        open_ = ToolCall.objects.filter(execution_id=execution_id, status__in=OPEN)
        rows = open_.values_list("call_id", "id", "status", "needs_approval")
        for call_id, id_, status, needs_approval in rows:
            self._rows[call_id] = _Open(id_, CallStatus(status), needs_approval)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Remember calls that were committed and have not started."""
        for row in rows:
            self._rows[row["call_id"]] = _Open(
                UUID(row["id"]), CallStatus.PREPARED, row["needs_approval"]
            )

    def row_of(self, request: ToolRequest) -> UUID:
        return self._rows[request.call_id].id

    def open_call(self, call_id: str) -> tuple[str, UUID]:
        """The name and the row of a call that has no result yet. Raises KeyError."""
        row = self._rows[call_id].id
        return ToolCall.objects.values_list("name", flat=True).get(pk=row), row

    def was_left_running(self, request: ToolRequest) -> bool:
        """Whether a claim that is gone had started this call."""
        return self._rows[request.call_id].status == CallStatus.RUNNING

    def needs_approval(self, request: ToolRequest) -> bool:
        """Whether this call runs only if a person has approved it."""
        return self._rows[request.call_id].needs_approval

    def is_repeated_in_time(self, request: ToolRequest) -> bool:
        """Whether a call that was left running began so lately that its key is still known."""
        begun = ToolCall.objects.filter(pk=self.row_of(request))
        return begun.filter(started_at__gt=clock() - REPEATED_WITHIN).exists()


def settled(call: UUID, status: CallStatus, output: str, whole: Whole | None = None) -> Settled:
    """The outcome of a call as the commit writes it: an output that is too long for the row is cut
    there, and the whole kept beside it."""
    shown, was_cut = clip(output, MOST_SHOWN)
    if was_cut and whole is None:
        whole = whole_of(output)
    return Settled(call, status, shown, whole)


def withdraw_held(execution: Execution) -> None:
    """Close the calls of an ended execution that waited for a person; the caller holds its row."""
    if not execution.spec.get("approval_required"):
        return
    held = ToolCall.objects.filter(execution=execution, status=CallStatus.AWAITING_APPROVAL)
    held.update(status=CallStatus.INTERRUPTED, output=_WITHDRAWN, finished_at=ClockTimestamp())


def unknown(request: ToolRequest) -> ToolResult:
    """What the model is told of a call that a lost worker had started."""
    return ToolResult(request.call_id, request.name, Outcome.UNKNOWN, _UNKNOWN)
