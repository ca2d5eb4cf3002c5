"""Watches, from outside and all the time, how many executions of an organization run at once."""

from __future__ import annotations

import threading
from typing import Self

import psycopg

from tests.processes import environment

_COUNT = """
SELECT count(*) FROM executions_execution WHERE status IN ('running', 'cancelling')
GROUP BY organization_id ORDER BY 1 DESC LIMIT 1
"""


class Sampler:
    """A thread with a connection of its own; what it cannot see while PostgreSQL is away, it
    sees again afterwards."""

    def __init__(self) -> None:
        self.most = 0
        self.samples = 0
        self._url = environment()["DATABASE_URL"]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as watching:
                    self._look(watching)
            except psycopg.OperationalError:
                self._over.wait(0.1)

    def _look(self, watching: psycopg.Connection) -> None:
        while not self._over.wait(0.01):
            (running,) = watching.execute(_COUNT).fetchone() or (0,)
            self.most = max(self.most, running)
            self.samples += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
