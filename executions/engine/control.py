"""Control: what a running execution is told from outside while its thread is busy."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID


class Held(Protocol):
    """A claim of an execution, a job or a merge, whose lease this process keeps."""

    @property
    def claim_id(self) -> UUID: ...


class Reason(StrEnum):
    """Why a run was interrupted in the middle of a model call or a tool."""

    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


class Interrupted(BaseException):
    """The model call or tool was ended from outside; `reason` says why.

    No Exception, so that agent code which catches whatever goes wrong lets it pass.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Control:
    """The run's side of the keeper: the lease's end, requests, and what to stop at once.

    Its clock is this process's monotonic one, read *before* a renewal is sent, so the end that it
    knows is never later than the database's. It goes on while the process is stopped (SIGSTOP).
    """

    def __init__(self, claim: Held, lease_seconds: float, *, taken_at: float) -> None:
        self.claim = claim
        self.stop = threading.Event()
        self.is_cancelling = False
        self.is_pause_requested = False
        self.is_agent_paused = False
        self.is_draining = False
        # Whether what people say ends a model call; a kind may read it in its own time.
        self.is_steerable = True
        self._lease = lease_seconds
        self._ends_at = taken_at + lease_seconds
        self._reason: Reason | None = None
        self._is_steered = False
        self._call: Future[Any] | None = None
        self._lock = threading.Lock()

    def renewed(self, sent_at: float) -> None:
        """A renewal or a commit that was sent at this monotonic time went through."""
        self._ends_at = max(self._ends_at, sent_at + self._lease)

    @property
    def is_lease_held(self) -> bool:
        return time.monotonic() < self._ends_at

    def interrupt(self, reason: Reason) -> None:
        """End the model call or tool that is under way; the first reason stands."""
        with self._lock:
            self._reason = self._reason or reason
            call = self._call
        self.stop.set()
        if call is not None:
            call.cancel()

    def steer(self) -> None:
        """End the model call that is under way, or the next: somebody has said something."""
        if not self.is_steerable:
            return
        with self._lock:
            call, self._is_steered = self._call, True
        if call is not None:
            call.cancel()

    def was_steered(self) -> bool:
        """Whether somebody has said something since this was asked last."""
        with self._lock:
            was, self._is_steered = self._is_steered, False
        return was

    def attach(self, call: Future[Any]) -> None:
        """Make this model call the one that an interruption cancels."""
        with self._lock:
            self._call = call
            interrupted = self._reason is not None or self._is_steered
        if interrupted:
            call.cancel()

    def detach(self) -> None:
        with self._lock:
            self._call = None

    def check(self) -> None:
        """Raise `Interrupted` when the run may not start anything more."""
        if self._reason is None and not self.is_lease_held:
            self.interrupt(Reason.LOST)
        if self._reason is not None:
            raise Interrupted(self._reason)

    def check_lease(self) -> None:
        """Raise `Interrupted` when the lease is over, whatever else was asked."""
        if not self.is_lease_held:
            self.interrupt(Reason.LOST)
            raise Interrupted(Reason.LOST)
