"""How a worker outside leaves a run: with an end, to wait, or to let another go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema
from django.db import transaction

from executions import states
from executions.engine import ends
from executions.engine.conditions import Wait
from executions.models import AT_A_LIMIT, PauseReason, Status
from executions.remote.errors import OutputUnfit
from executions.remote.run import RemoteRun
from executions.remote.told import why_pause


def complete(run: RemoteRun, *, output: Any, hears_messages: bool) -> dict[str, Any]:
    """End well; as cancelled where that was asked for.

    With `hears_messages` it does not end while something that people said is not consumed, and
    nothing is written. Raises `OutputUnfit`.
    """
    if run.is_cancelling:
        ends.cancelled(run.claim)
        return {"completed": False}
    _check_output(run.execution.spec.get("output_schema"), output)
    try:
        with transaction.atomic():
            batch = run.batch()
            run.consume(batch, by_key="complete")
            ends.complete(run.claim, batch, output=output, diff=None, hears_messages=hears_messages)
    except ends.Spoken:
        run.commit(run.batch())
        return {"completed": False}
    return {"completed": True}


def _check_output(schema: Any, output: Any) -> None:
    if schema is None:
        return
    found = jsonschema.Draft202012Validator(schema).iter_errors(output)
    if problems := [f"{error.json_path}: {error.message[:300]}" for error in found]:
        raise OutputUnfit(problems=problems[:20])


def fail(run: RemoteRun, *, code: str, message: str, details: Mapping[str, Any]) -> None:
    """End badly; as cancelled where that was asked for."""
    if run.is_cancelling:
        ends.cancelled(run.claim)
        return
    batch = run.batch()
    run.consume(batch, by_key="fail")
    ends.fail(run.claim, batch, code=code, message=message, **details)


def suspend(run: RemoteRun, wait: Wait) -> dict[str, Any]:
    """Wait without a worker; not where the wait is over already: the run goes on then."""
    if run.is_cancelling:
        ends.cancelled(run.claim)
        return {"suspended": False}
    batch = run.batch()
    run.consume(batch, by_key="suspend")
    return {"suspended": ends.suspend(run.claim, batch, wait)}


def release(run: RemoteRun, *, how: str) -> None:
    """Leave without an end: `yielded`, `paused` or `cancelled`.

    One that is to be cancelled is cancelled, whatever the worker says. One that nothing asks to
    pause any more goes back to the queue. Raises `ExecutionState` for a cancel nobody asked for.
    """
    run.put_back()
    if run.is_cancelling:
        ends.cancelled(run.claim)
    elif how == Status.CANCELLED:
        raise states.refusal(run.execution, Status.CANCELLED)
    elif how == Status.PAUSED:
        _pause(run)
    else:
        ends.give_up(run.claim, run.batch())


def _pause(run: RemoteRun) -> None:
    spent = run.spent
    reason = why_pause(run.execution, spent)
    if reason in AT_A_LIMIT:
        ends.stop_at_limit(run.claim, run.batch(), spent)
    elif reason:
        ends.pause(run.claim, run.batch(), PauseReason(reason))
    else:
        ends.give_up(run.claim, run.batch())
