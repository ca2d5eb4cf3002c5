"""The ledger's side of a tool call: prepared with the reply, running before, settled after."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from agents.runtime.facts import Outcome, ToolRequest, ToolResult
from executions.models import CallStatus, Execution, ToolCall

_UNKNOWN = (
    "This call was interrupted when its worker was lost, and its outcome is unknown: it may have "
    "taken effect in part, wholly, or not at all. Files are as they were kept before the call. "
    "Look before you repeat it."
)


def digest(arguments: Any) -> str:
    """SHA-256 of the canonical JSON of a call's arguments, in hex."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def prepared(request: ToolRequest, n: int) -> dict[str, Any]:
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
    }


class Ledger:
    """The open calls of a run: which row is which, and what a lost claim left of them."""

    def __init__(self, execution: Execution) -> None:
        self._rows: dict[str, tuple[UUID, str]] = {}
        if execution.epoch > 1:  # Before the first claim there are none.
            self._read(execution.id)

    def _read(self, execution_id: UUID) -> None:
        open_ = ToolCall.objects.filter(
            execution_id=execution_id, status__in=[CallStatus.PREPARED, CallStatus.RUNNING]
        )
        for call_id, id_, status in open_.values_list("call_id", "id", "status"):
            self._rows[call_id] = (id_, status)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Remember calls that were committed as prepared."""
        for row in rows:
            self._rows[row["call_id"]] = (UUID(row["id"]), CallStatus.PREPARED)

    def row_of(self, request: ToolRequest) -> UUID:
        return self._rows[request.call_id][0]

    def open_call(self, call_id: str) -> tuple[str, UUID]:
        """The name and the row of a call that has no result yet. Raises KeyError."""
        row = self._rows[call_id][0]
        return ToolCall.objects.values_list("name", flat=True).get(pk=row), row

    def was_left_running(self, request: ToolRequest) -> bool:
        """Whether a claim that is gone had started this call."""
        return self._rows[request.call_id][1] == CallStatus.RUNNING


def unknown(request: ToolRequest) -> ToolResult:
    """What the model is told of a call that a lost worker had started."""
    return ToolResult(request.call_id, request.name, Outcome.UNKNOWN, _UNKNOWN)
