"""What a worker outside writes while it goes on, beside entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from executions import pollers, stream
from executions.engine import jobs
from executions.models import Execution, Job
from executions.remote.errors import CheckpointOutOfOrder
from executions.remote.run import RemoteRun
from executions.remote.told import shown


def beat(run: RemoteRun) -> None:
    """Renew the lease, and show that the worker is still there."""
    pollers.give_sign_again(run.execution.organization_id, run.execution.worker)
    run.commit(run.batch())


def checkpoint(run: RemoteRun, *, sequence: int, state: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the state under the next number, and consume what the worker has in hand.

    Raises `CheckpointOutOfOrder` for any other number: one that is used was written before.
    """
    run.require_running()
    last = run.execution.checkpoint
    if sequence != last + 1:
        raise CheckpointOutOfOrder(last=last)
    batch = run.batch()
    run.consume(batch, by_key=f"checkpoint:{sequence}")
    batch.is_boundary, batch.state = True, state
    batch.event("execution.checkpoint", turn=run.execution.turn, sequence=sequence)
    run.commit(batch)
    return {"sequence": sequence}


def consume(run: RemoteRun, *, name: str, limit: int) -> dict[str, Any]:
    """Take signals in hand; the next entry, checkpoint or end consumes them."""
    found = run.reserve(name, limit)
    run.commit(run.batch())
    return {"signals": [shown(signal) for signal in found]}


def schedule(run: RemoteRun, *, wanted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Schedule jobs, all or none, each once for its key.

    What is in hand stays there: that the jobs are scheduled does not yet say where to go on.
    """
    run.require_running()
    batch = run.batch()
    known = set(
        Job.objects.filter(execution=run.id, key__in=[each["key"] for each in wanted]).values_list(
            "key", flat=True
        )
    )
    scheduled = [jobs.schedule(run.execution, **each) for each in wanted]
    for job in scheduled:
        if job.key not in known:
            known.add(job.key)
            batch.event("job.scheduled", **jobs.facts_of(job))
    run.commit(batch)
    return {
        "jobs": [
            {"id": job.id, "key": job.key, "kind": job.kind, "status": job.status}
            for job in scheduled
        ]
    }


def publish(execution: Execution, pieces: Sequence[Mapping[str, Any]]) -> None:
    """Show pieces to who watches; nobody keeps them. Neighbours of one kind go out as one."""
    for kind, group in groupby(pieces, key=lambda piece: piece["kind"]):
        if kind in _TEXTS:
            text = "".join(piece["text"] for piece in group)
            stream.publish_tokens(execution.id, _TEXTS[kind], text, execution.turn)
            continue
        for piece in group:
            stream.publish_piece(execution.id, kind, piece["value"], execution.turn)


# What the API calls a part of a reply, and what the stream does; `reset` has no text.
_TEXTS = {"token": "text", "thinking": "thinking", "reset": "reset"}
