"""One run of a worker, from top to bottom: claim, call the agent's code, leave.

The function of the execution's kind is called from its top; what it does goes through the context,
which commits it under the claim. A run ends when the function returns, raises, or has left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError

from agents.runtime import kinds
from agents.runtime.context import Cancelled, Waiting
from agents.runtime.json_values import storable
from agents.runtime.kinds import Kind
from agents.runtime.llm import ModelBusy, ModelError
from agents.runtime.react import OutputUnfit
from agents.runtime.redaction import in_logs
from executions.engine import claim as claims
from executions.engine import dispatch, ends
from executions.engine.claim import Batch, Claim
from executions.engine.context import Context
from executions.engine.control import Control, Interrupted, Reason
from executions.engine.run import Left
from executions.errors import Superseded
from executions.stream import publish
from executions.worktrees import RepositoryBusy, WorktreeError

logger = logging.getLogger(__name__)

# What is no Exception, and ends a run's code all the same: it would come back for ever if it were
# taken for the end of the process.
_ENDS_OF_CODE = (SystemExit, asyncio.CancelledError)
# Who holds a repository's lock for so long that a run gave up clones it, or stands still.
REPOSITORY_RETRY_SECONDS = 10.0


class Runner:
    """Carries one claimed execution on until it leaves this worker, whatever happens."""

    def __init__(self, claim: Claim, control: Control, kind: Kind) -> None:
        self._context = Context(claim, control, kind)
        self._claim, self._control, self._kind = claim, control, kind

    def drive(self) -> None:
        """Carry on, and leave."""
        try:
            self._carry_on()
        except (Left, Waiting):
            return
        except Superseded:
            # Of the last write too: a cancel may have come while a model call was failing.
            self._end_if_cancelling()

    def _carry_on(self) -> None:
        context = self._context
        try:
            while not context.complete(self._output()):
                pass
        except Interrupted as stop:
            self._stopped(stop.reason)
        except Cancelled:
            self._end_if_cancelling()
        except ModelBusy as busy:
            context.sleep_for(busy.retry_after, reason="model_busy")
        except RepositoryBusy:
            context.sleep_for(REPOSITORY_RETRY_SECONDS, reason="repository_busy")
        except (ModelError, WorktreeError, OutputUnfit) as error:
            context.fail(error.code, str(error))

    def _output(self) -> Any:
        """What the kind's function returns, as JSON has it."""
        if not self._kind.takes_messages:  # A conversation does it where it waits for its model.
            self._context.release()
        output = self._kind.call(self._context, self._context.input)
        try:
            return storable(self._kind.write(output))
        except ValueError as error:
            raise OutputUnfit(f"It is no output of {self._kind.name}: {error}") from error

    def _stopped(self, reason: Reason) -> None:
        """The model call or tool was ended from outside."""
        if reason is Reason.CANCEL:
            self._end_if_cancelling()
        elif reason is Reason.DRAIN:
            self._context.files.leave_clean()
            ends.give_up(self._claim, self._context.cost())
        else:
            logger.warning("The lease of %s is lost; its run stops here.", self._claim.id)

    def _end_if_cancelling(self) -> None:
        """The claim is gone, or the run is to be cancelled: end it in the second case."""
        try:
            ends.cancelled(self._claim)
        except Superseded:
            logger.info("The claim of %s is gone; its run stops here.", self._claim.id)


def advance(execution_id: UUID, epoch: int, worker: Any) -> None:
    """Carry an execution on, if this message still speaks of it; `worker` is the process's."""
    if worker.keeper.is_draining:
        dispatch.send_back(execution_id, epoch)
        return
    taken_at = time.monotonic()
    claim = claims.take(execution_id, epoch, worker.name)
    if claim is None:
        logger.debug("A stale message for %s at epoch %s.", execution_id, epoch)
        return
    kind = kinds.find(claim.execution.kind, claim.execution.kind_version)
    assert kind is not None, "the claim takes only kinds that this process has"
    publish(claim.id, claim.execution.event_seq)
    with (
        in_logs(claim.redactor),
        worker.keeper.watch(claim, taken_at=taken_at) as control,
    ):
        try:
            Runner(claim, control, kind).drive()
        except (Exception, *_ENDS_OF_CODE) as error:
            if _is_database_away(error):
                logger.warning(
                    "The database went away under %s; the lease gives it back: %s", claim.id, error
                )
                return
            logger.exception("The run of %s failed in the engine.", claim.id)
            _fail(claim, error)


def _is_database_away(error: BaseException) -> bool:
    """Whether this is no fault of the run: the next claim goes on from what was committed."""
    if isinstance(error.__cause__, psycopg.errors.IdleInTransactionSessionTimeout):
        return True  # This process stood still in the middle of a transaction.
    return isinstance(error, OperationalError | InterfaceError | psycopg.OperationalError)


def _fail(claim: Claim, error: BaseException) -> None:
    """End a run on a mistake of ours or of its data, rather than let it come back for ever."""
    try:
        ends.fail(
            claim,
            Batch(),
            code="AGENT_ERROR",
            message=f"{type(error).__name__}: {error}"[:2000],
        )
    except Superseded:
        logger.info("The claim of %s is gone.", claim.id)
