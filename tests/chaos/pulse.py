"""How long the machine itself stood still, so that a bound of seconds can be held to on any."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Self

_BEAT = 0.05
_STILL = 0.2


class Pulse:
    """A thread that wants to run twenty times a second, and notes when it could not."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    @property
    def stood_still(self) -> timedelta:
        """All of the time in which others were kept waiting as we were."""
        return timedelta(seconds=self._lost)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._over.wait(_BEAT):
            now = time.monotonic()
            if now - last > _STILL:
                self._lost += now - last
            last = now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
