"""The keyed effects of a run: done once, remembered with what came of them, waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from django.db import connection, transaction
from rest_framework.exceptions import ValidationError

from agents.clock import clock
from agents.errors import Refusal
from agents.runtime.context import Rejected, StepUnknown, Waiting
from agents.runtime.json_values import storable
from executions.engine import claim as claims
from executions.engine.conditions import Wait, Wanted
from executions.engine.conversation import Conversation
from executions.engine.steps import RAISED, Effect, Steps
from executions.models import WaitMode


class NotYet(Exception):
    """What is waited for has not come about."""


@contextmanager
def asking() -> Iterator[None]:
    """A transaction in which something is asked of Signalbox; a refusal raises `Rejected`."""
    try:
        with transaction.atomic():
            yield
    except Refusal as refusal:
        raise Rejected(str(refusal.code), str(refusal.detail)) from refusal
    except ValidationError as invalid:
        raise Rejected("VALIDATION_FAILED", str(invalid.detail)) from invalid


class Effects(Conversation):
    """Every effect is a boundary: a cancel, a pause or a shutdown is looked for before it."""

    @cached_property
    def _steps(self) -> Steps:
        row = self.claim.execution
        return Steps(row.id, is_fresh=row.epoch <= 1 and row.forked_from_id is None)

    def known(self, key: str, kind: str, asked: Any = None) -> Effect:
        """The effect of this key, as far as it is known. Raises `KeyReused`."""
        effect = self._steps.find(key, kind, asked)
        if not effect.is_finished:
            self.look()
        return effect

    def release(self) -> None:
        """Give the database connection back: nobody knows how long agent code takes until it
        comes again, and there are more runs than connections."""
        if not connection.in_atomic_block:
            connection.close()

    def keep(self, effect: Effect, result: Any = None, *, is_finished: bool = True) -> Any:
        """Commit the batch together with what came of the effect, and return that.

        It is returned as it is kept, without secrets, so that code which is called again after a
        wait or a crash is given the same.
        """
        result = self.redactor.json(result)
        self.batch.step(effect.key, effect.kind, effect.digest, result, is_finished=is_finished)
        self.commit()
        self._steps.remember(effect, result, is_finished=is_finished)
        self.release()
        return result

    def once(self, effect: Effect, work: Callable[[], Any], *, repeatable: bool) -> Any:
        """What the work returns, done now; the effect is not finished. Raises `StepUnknown`."""
        if effect.is_begun and not repeatable:
            raise StepUnknown(
                f"Step {effect.key!r} was under way when its worker was lost, and it is not known "
                "what came of it. Declare it repeatable if it may be done again."
            )
        if not repeatable:
            self.keep(effect, is_finished=False)
        connection.close()
        self.control.check()
        try:
            done = work()
        except Exception:
            self._take_back(effect)
            raise
        # Whatever else is asked of the run meanwhile, the work is done: what came of it is kept.
        self.control.check_lease()
        return self.keep(effect, storable(done))

    def _take_back(self, effect: Effect) -> None:
        """What raised may be done again; the next commit says so."""
        self._steps.forget(effect)
        self.batch.step(effect.key, effect.kind, effect.digest, RAISED, is_finished=False)

    def held(self, effect: Effect, act: Callable[[], Any]) -> Any:
        """What `act` returns of other rows, looked at and written under the execution's row."""
        if effect.is_finished:
            return effect.result
        with transaction.atomic():
            claims.hold(self.claim)
            result = self.keep(effect, act())
        self.release()
        return result

    def wait_for(
        self,
        effect: Effect,
        look: Callable[[], Any],
        wanted: Callable[[], Sequence[Wanted]],
        *,
        mode: WaitMode = WaitMode.ANY,
        timeout: float | None = None,
        late: Callable[[], Any] = lambda: None,
    ) -> Any:
        """What `look` finds, once it does not raise `NotYet`; or `late`, after the timeout.

        `look` is called under the execution's row; `wanted` says what would be news. Raises
        `Waiting` while there is nothing yet: the run has left its worker then.
        """
        while not effect.is_finished:
            try:
                return self.held(effect, partial(self._looked, effect, look, late))
            except NotYet:
                effect = self._begun(effect, timeout)
            wait = Wait(wanted(), mode, self._left_of(effect), reason=effect.key)
            if self.suspend(wait):
                raise Waiting
        return effect.result

    def _looked(self, effect: Effect, look: Callable[[], Any], late: Callable[[], Any]) -> Any:
        try:
            return look()
        except NotYet:
            if self._left_of(effect) == 0:
                return late()
            raise

    def _begun(self, effect: Effect, timeout: float | None) -> Effect:
        """The effect with the time at which it gives up; the commit that follows keeps it."""
        if timeout is None or effect.is_begun:
            return effect
        due_at = clock() + timedelta(seconds=timeout)
        given = {"due_at": due_at.isoformat()}
        self.batch.step(effect.key, effect.kind, effect.digest, given, is_finished=False)
        return self._steps.remember(effect, given, is_finished=False)

    def _left_of(self, effect: Effect) -> float | None:
        """The seconds until it gives up, 0 if that is past, None if it never does."""
        if not isinstance(effect.result, dict) or "due_at" not in effect.result:
            return None
        due_at = datetime.fromisoformat(effect.result["due_at"])
        return max(0.0, (due_at - clock()).total_seconds())
