"""Keeps callers from waiting, one after the other, for a service that is away."""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger(__name__)


class Breaker:
    """After a failure one caller in so many seconds tries again, and the others do without.

    The log hears once that the service has gone, with `meanwhile`, and once that it is back.
    """

    def __init__(self, service: str, *, meanwhile: str, seconds: float) -> None:
        self.service = service
        self.meanwhile = meanwhile
        self.seconds = seconds
        self._lock = threading.Lock()
        self._is_open = False
        self._next_try = 0.0

    def lets_try(self) -> bool:
        """Whether this caller may ask the service; while it is away, one in a while."""
        with self._lock:
            if not self._is_open:
                return True
            if time.monotonic() < self._next_try:
                return False
            self._next_try = time.monotonic() + self.seconds
            return True

    def note_failure(self, error: Exception) -> None:
        """The service did not answer."""
        with self._lock:
            is_news = not self._is_open
            self._is_open = True
            self._next_try = time.monotonic() + self.seconds
        if is_news:
            logger.warning("%s is out of reach (%s): %s", self.service, error, self.meanwhile)

    def note_answer(self) -> None:
        """The service answered."""
        if not self._is_open:  # Without the lock, since it is asked at every request.
            return
        with self._lock:
            is_news = self._is_open
            self._is_open = False
        if is_news:
            logger.warning("%s answers again.", self.service)
