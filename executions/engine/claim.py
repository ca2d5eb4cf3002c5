"""The claim of a run, and the guarded commit that every write of the run goes through.

A commit is one SQL statement. Its first part updates the execution where (epoch, claim, status)
still fit and hands out the numbers; all other parts insert from what that part returns. When the
claim is gone it returns no row and nothing was written. One statement is also one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents import prepared
from agents.runtime.facts import Whole
from agents.runtime.kinds import registered
from agents.runtime.limits import Limits
from agents.runtime.redaction import Redactor
from executions import secrets
from executions.errors import Superseded
from executions.models import CallStatus, Execution, Status

_CLAIM = """
WITH claimed AS (
  UPDATE executions_execution SET
    status = 'running', epoch = epoch + 1, claim_id = %(claim)s, worker = %(worker)s,
    lease_expires_at = clock_timestamp() + %(lease)s,
    started_at = coalesce(started_at, statement_timestamp()), event_seq = event_seq + 1
  WHERE id = %(id)s AND status = 'queued' AND epoch = %(epoch)s AND admitted_epoch IS NOT NULL
    AND (kind, kind_version) IN (SELECT * FROM unnest(%(kinds)s::text[], %(versions)s::text[]))
  RETURNING *
), event AS (
  INSERT INTO executions_event (id, execution_id, seq, type, data, created_at)
  SELECT %(event)s, id, event_seq,
         CASE WHEN started_at = statement_timestamp() THEN 'execution.started'
              ELSE 'execution.resumed' END,
         jsonb_build_object('worker', worker, 'turn', turn), clock_timestamp()
  FROM claimed
)
SELECT claimed.*, coalesce(a.is_paused, false) AS is_agent_paused,
       coalesce(b.repository, '') AS repository
FROM claimed
LEFT JOIN agents_agent AS a ON a.id = claimed.agent_id
LEFT JOIN boards_board AS b ON b.id = claimed.board_id
"""

_COMMIT = """
WITH fence AS (
  UPDATE executions_execution SET
    event_seq = event_seq + %(event_count)s, position = position + %(entry_count)s,
    turn = coalesce(%(turn)s, turn), usage = coalesce(%(usage)s, usage),
    tree = coalesce(%(tree)s, tree), checkpoint = checkpoint + %(checkpoint_count)s,
    signals_pending = signals_pending - %(consumed_count)s,
    interrupt_requested_at = CASE WHEN %(consumed_count)s = 0 THEN interrupt_requested_at END,
    lease_expires_at = clock_timestamp() + %(lease)s
  WHERE id = %(id)s AND epoch = %(epoch)s AND claim_id = %(claim)s AND status = ANY(%(statuses)s)
  RETURNING id, event_seq, position, turn, checkpoint, tree, status,
            pause_requested_at, max_turns, token_budget, seconds_budget, signals_pending,
            clock_timestamp() AS at
), new_entries AS (
  INSERT INTO executions_entry
    (id, execution_id, position, parent_id, turn, type, role, content, usage, created_at)
  SELECT row.id, fence.id, fence.position - %(entry_count)s + row.n, row.parent_id, fence.turn,
         row.type, row.role, row.content, row.usage, clock_timestamp()
  FROM fence, jsonb_to_recordset(%(entries)s) AS row
    (n int, id uuid, parent_id uuid, type text, role text, content jsonb, usage jsonb)
), new_events AS (
  INSERT INTO executions_event (id, execution_id, seq, type, data, created_at)
  SELECT row.id, fence.id, fence.event_seq - %(event_count)s + row.n, row.type, row.data,
         clock_timestamp()
  FROM fence, jsonb_to_recordset(%(events)s) AS row (n int, id uuid, type text, data jsonb)
), new_calls AS (
  INSERT INTO executions_toolcall
    (id, execution_id, reply_position, position, turn, call_id, name, arguments,
     arguments_digest, problem, needs_approval, status, runs, output, created_at)
  SELECT row.id, fence.id, fence.position, row.n, fence.turn, row.call_id, row.name,
         row.arguments, row.arguments_digest, row.problem, row.needs_approval,
         CASE WHEN row.needs_approval THEN 'awaiting_approval' ELSE 'prepared' END, 0, '',
         clock_timestamp()
  FROM fence, jsonb_to_recordset(%(calls)s) AS row
    (n int, id uuid, call_id text, name text, arguments jsonb, arguments_digest text,
     problem text, needs_approval bool)
), settled AS (
  UPDATE executions_toolcall AS call SET
    status = %(settled_status)s, output = %(settled_output)s, finished_at = clock_timestamp(),
    whole_bytes = octet_length(%(whole)s::text), is_whole_cut = %(is_whole_cut)s
  FROM fence WHERE call.id = %(settled)s
  RETURNING call.id
), new_whole AS (
  INSERT INTO executions_wholeoutput (call_id, text)
  SELECT id, %(whole)s::text FROM settled WHERE %(whole)s::text IS NOT NULL
  ON CONFLICT (call_id) DO UPDATE SET text = excluded.text
), old_whole AS (
  DELETE FROM executions_wholeoutput AS old USING settled
  WHERE old.call_id = settled.id AND %(whole)s::text IS NULL
), new_checkpoint AS (
  INSERT INTO executions_checkpoint
    (id, execution_id, sequence, position, turn, state, tree, created_at)
  SELECT %(checkpoint)s, fence.id, fence.checkpoint, fence.position, fence.turn, %(state)s,
         fence.tree, fence.at
  FROM fence WHERE %(checkpoint_count)s > 0
), new_steps AS (
  INSERT INTO executions_step
    (id, execution_id, key, kind, digest, result, claim_id, created_at, finished_at)
  SELECT row.id, fence.id, row.key, row.kind, row.digest, row.result, %(claim)s,
         fence.at, CASE WHEN row.is_finished THEN fence.at END
  FROM fence, jsonb_to_recordset(%(steps)s) AS row
    (id uuid, key text, kind text, digest text, result jsonb, is_finished bool)
  ON CONFLICT (execution_id, key) DO UPDATE SET
    result = excluded.result, claim_id = excluded.claim_id, finished_at = excluded.finished_at
  WHERE executions_step.finished_at IS NULL
)
SELECT event_seq, position, status, pause_requested_at IS NOT NULL, signals_pending, max_turns,
       token_budget, seconds_budget
FROM fence
"""

_START_CALL = """
WITH fence AS (
  UPDATE executions_execution SET
    event_seq = event_seq + 1, lease_expires_at = clock_timestamp() + %(lease)s
  WHERE id = %(id)s AND epoch = %(epoch)s AND claim_id = %(claim)s AND status = 'running'
    AND EXISTS (SELECT FROM executions_toolcall
                WHERE id = %(call)s AND (status = ANY(%(startable)s)
                  OR status = 'awaiting_approval' AND decision = 'approved'
                    AND decided_digest = %(digest)s))
  RETURNING id, event_seq
), call AS (
  UPDATE executions_toolcall AS call SET
    status = 'running', claim_id = %(claim)s, runs = runs + 1,
    started_at = COALESCE(call.started_at, clock_timestamp())
  FROM fence WHERE call.id = %(call)s
), event AS (
  INSERT INTO executions_event (id, execution_id, seq, type, data, created_at)
  SELECT %(event)s, id, event_seq, 'tool.started', %(event_facts)s, clock_timestamp() FROM fence
)
SELECT event_seq FROM fence
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What fences a run's writes, and the row and its agent as they were when it was claimed."""

    execution: Execution
    claim_id: UUID
    epoch: int
    is_agent_paused: bool = False
    # The address of its board's, with what may stand in it.
    repository: str = ""

    @property
    def id(self) -> UUID:
        return self.execution.id

    @property
    def redactor(self) -> Redactor:
        """What takes the secrets of this run out of all that it shows."""
        environment = self.execution.spec.get("environment", {})
        return secrets.redactor(environment, repository=self.repository)

    @property
    def guard(self) -> dict[str, Any]:
        """What a row must still have for this claim to write to it."""
        return {"epoch": self.epoch, "claim_id": self.claim_id}


@dataclass(frozen=True, slots=True)
class Boundary:
    """What a commit learned of the row: what has been asked of the run meanwhile."""

    event_seq: int
    position: int
    is_cancelling: bool
    is_pause_requested: bool
    signals_pending: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a call, by the id of its row; `whole` is its output where that is cut."""

    call: UUID
    status: CallStatus
    output: str
    whole: Whole | None = None


@dataclass(slots=True)
class Batch:
    """What one commit writes. `None` leaves a field of the execution as it is."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    settled: Settled | None = None
    turn: int | None = None
    usage: Mapping[str, Any] | None = None
    tree: str | None = None
    is_boundary: bool = False
    # Of the checkpoint that a boundary makes; a run that has a state carries it on.
    state: Mapping[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    consumed: int = 0

    def event(self, kind: str, /, **facts: Any) -> None:
        """Add an event of this type."""
        self.events.append(
            {"n": len(self.events) + 1, "id": str(uuid7()), "type": kind, "data": facts}
        )

    def step(
        self, key: str, kind: str, digest: str, result: Any = None, *, is_finished: bool = True
    ) -> None:
        """Remember an effect by its key; one that was begun is finished by the same key."""
        row = {"key": key, "kind": kind, "digest": digest, "result": result}
        # One statement writes a key once: what is known of it now is what is written.
        self.steps = [step for step in self.steps if step["key"] != key]
        self.steps.append(row | {"id": str(uuid7()), "is_finished": is_finished})


def take(
    execution_id: UUID,
    epoch: int,
    worker: str,
    *,
    kinds: Sequence[tuple[str, str]] | None = None,
) -> Claim | None:
    """Claim a queued, admitted execution at exactly this epoch; None when there is no such one.

    None means that the message was a duplicate, that the execution has moved on, or that the
    worker has not its kind in that version. `kinds` are the worker's; left out, this process's.
    """
    claim_id = uuid4()
    if kinds is None:
        kinds = [kind.of_rows for kind in registered()]
    rows: list[Any] = list(
        Execution.objects.raw(
            _CLAIM,
            {
                "claim": claim_id,
                "worker": worker,
                "lease": settings.EXECUTION_LEASE,
                "id": execution_id,
                "epoch": epoch,
                "event": uuid7(),
                "kinds": [name for name, _ in kinds],
                "versions": [version for _, version in kinds],
            },
        )
    )
    return next(
        (Claim(row, claim_id, row.epoch, row.is_agent_paused, row.repository) for row in rows),
        None,
    )


def commit(claim: Claim, batch: Batch, *, while_cancelling: bool = False) -> Boundary:
    """Write the batch while the claim holds, or raise `Superseded` and write nothing.

    `while_cancelling` is for outcomes of tool calls: they are kept though the run is to end.
    """
    settled = batch.settled
    whole = settled.whole if settled else None
    statuses = [Status.RUNNING, Status.CANCELLING] if while_cancelling else [Status.RUNNING]
    parameters: dict[str, Any] = {
        **_fence(claim),
        "statuses": [str(status) for status in statuses],
        "event_count": len(batch.events),
        "events": Jsonb(batch.events),
        "entry_count": len(batch.entries),
        "entries": Jsonb(batch.entries),
        "calls": Jsonb(batch.calls),
        "settled": settled and settled.call,
        "settled_status": settled and settled.status,
        "settled_output": settled and settled.output,
        "whole": whole and whole.text,
        "is_whole_cut": bool(whole and whole.is_cut),
        "turn": batch.turn,
        "usage": None if batch.usage is None else Jsonb(batch.usage),
        "tree": batch.tree,
        "checkpoint_count": int(batch.is_boundary),
        "checkpoint": uuid7(),
        "state": Jsonb(dict(batch.state or {})),
        "steps": Jsonb(batch.steps),
        "consumed_count": batch.consumed,
    }
    row = prepared.first(_COMMIT, parameters)
    if row is None:
        raise Superseded
    event_seq, position, status, is_pause_requested, signals_pending, *limits = row
    return Boundary(
        event_seq,
        position,
        status == Status.CANCELLING,
        is_pause_requested,
        signals_pending,
        Limits(*limits),
    )


def hold(claim: Claim) -> None:
    """Hold the execution's row until the transaction ends. Raises `Superseded`.

    For a commit that depends on other rows: they are looked at after this and before it.
    """
    rows = Execution.objects.filter(pk=claim.id, status=Status.RUNNING, **claim.guard)
    if not rows.select_for_update(no_key=True).values_list("pk").first():
        raise Superseded


def start_call(
    claim: Claim, row_id: UUID, *, may_repeat: bool, facts: Mapping[str, Any], digest: str = ""
) -> int:
    """Commit that a tool call is `running`, before it starts, with its event.

    Returns the event's seq. A call that is started again keeps the time of its first start, from
    which it is told how long it may be repeated.

    A call that this or another claim has started already may start again only where the tool
    allows a repeat. One that awaits approval starts with that of the arguments whose `digest` is
    given, and has used it then. Raises `Superseded` when the claim is gone or the run is to be
    cancelled.
    """
    startable = [CallStatus.PREPARED, *([CallStatus.RUNNING] if may_repeat else [])]
    parameters: dict[str, Any] = {
        **_fence(claim),
        "call": row_id,
        "startable": [str(status) for status in startable],
        "digest": digest,
        "event": uuid7(),
        "event_facts": Jsonb(dict(facts)),
    }
    row = prepared.first(_START_CALL, parameters)
    if row is None:
        raise Superseded
    return int(row[0])


def _fence(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "epoch": claim.epoch,
        "claim": claim.claim_id,
        "lease": settings.EXECUTION_LEASE,
    }
