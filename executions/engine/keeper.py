"""The keeper: one thread of a worker process that keeps its leases and carries requests to runs.

It has a database connection of its own, outside the pool, so that a busy pool or a blocked event
loop never costs a lease. It also runs the sweep when that is due, so that recovery needs neither
Celery nor Redis.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import redis
from django.conf import settings
from django.db import connections
from uuid_utils.compat import uuid7

from agents.redis import client
from agents.runtime.kinds import registered
from executions import connections as own_connections
from executions.engine.control import Control, Held, Reason
from executions.stream import CONTROL

logger = logging.getLogger(__name__)

# Rows that are locked at this moment are being written to by somebody who will not take long; they
# are looked at again soon.
_RENEW = """
WITH my_runs AS (
  SELECT id FROM executions_execution
  WHERE claim_id = ANY(%(claims)s) AND status IN ('running', 'cancelling')
  FOR NO KEY UPDATE SKIP LOCKED
), my_jobs AS (
  SELECT id FROM executions_job
  WHERE claim_id = ANY(%(claims)s) AND status = 'running'
  FOR NO KEY UPDATE SKIP LOCKED
), my_merges AS (
  SELECT id FROM executions_merge
  WHERE claim_id = ANY(%(claims)s) AND status = 'requested'
  FOR NO KEY UPDATE SKIP LOCKED
), merges AS (
  UPDATE executions_merge AS m SET taken_at = clock_timestamp()
  FROM my_merges WHERE m.id = my_merges.id
  RETURNING m.claim_id, false, false, false, false, false
), jobs AS (
  UPDATE executions_job AS j SET lease_expires_at = clock_timestamp() + %(lease)s
  FROM my_jobs WHERE j.id = my_jobs.id
  RETURNING j.claim_id, j.cancel_requested_at IS NOT NULL, false, false, false, false
), runs AS (
  UPDATE executions_execution AS e SET lease_expires_at = clock_timestamp() + %(lease)s
  FROM my_runs WHERE e.id = my_runs.id
  RETURNING e.claim_id, e.status = 'cancelling', e.cancel_is_hard,
    e.pause_requested_at IS NOT NULL, e.interrupt_requested_at IS NOT NULL,
    coalesce((SELECT is_paused FROM agents_agent a WHERE a.id = e.agent_id), false)
)
SELECT * FROM runs UNION ALL SELECT * FROM jobs UNION ALL SELECT * FROM merges
"""

_SIGN = """
INSERT INTO executions_worker
  (id, name, host, pid, queues, kinds, concurrency, running, started_at, seen_at, is_draining)
VALUES (%(id)s, %(name)s, %(host)s, %(pid)s, %(queues)s, %(kinds)s, %(concurrency)s, %(running)s,
  clock_timestamp(), clock_timestamp(), %(draining)s)
ON CONFLICT (id) DO UPDATE SET
  seen_at = excluded.seen_at, running = excluded.running, is_draining = excluded.is_draining
"""


class Keeper:
    """Keeps the leases of one process; `sweep` is what it calls when a sweep is due."""

    def __init__(
        self, *, name: str, queues: list[str], concurrency: int, sweep: Callable[[], Any]
    ) -> None:
        self.id = uuid7()
        self.name = name
        self.is_draining = False
        self._queues = queues
        self._concurrency = concurrency
        self._sweep = sweep
        self._runs: dict[UUID, Control] = {}
        self._lock = threading.Lock()
        self._look = threading.Event()
        self._ended = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._threads = [
            threading.Thread(target=self._keep, name="keeper", daemon=True),
            threading.Thread(target=self._listen, name="keeper-listener", daemon=True),
            threading.Thread(target=self._sweep_when_due, name="keeper-sweep", daemon=True),
        ]

    def start(self) -> None:
        self._give_sign()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop renewing, and take the process off the list of the living."""
        self._ended.set()
        self._look.set()
        self._threads[0].join(timeout=5)
        self._connected().execute("DELETE FROM executions_worker WHERE id = %s", [self.id])

    @contextmanager
    def watch(self, claim: Held, *, taken_at: float) -> Iterator[Control]:
        """Renew the lease of this claim for as long as the block runs."""
        control = Control(claim, settings.EXECUTION_LEASE.total_seconds(), taken_at=taken_at)
        with self._lock:
            control.is_draining = self.is_draining
            self._runs[claim.claim_id] = control
        try:
            yield control
        finally:
            with self._lock:
                del self._runs[claim.claim_id]

    def drain(self) -> None:
        """Let every run yield at its next boundary, and end model calls and tools in a while."""
        self.is_draining = True
        for control in self._controls():
            control.is_draining = True
        timer = threading.Timer(settings.DRAIN_SECONDS, self._end_what_is_left)
        timer.daemon = True
        timer.start()
        self._look.set()

    def _end_what_is_left(self) -> None:
        for control in self._controls():
            control.interrupt(Reason.DRAIN)

    def _controls(self) -> list[Control]:
        with self._lock:
            return list(self._runs.values())

    def _keep(self) -> None:
        third = settings.EXECUTION_LEASE.total_seconds() / 3
        pause = third
        while not self._ended.is_set():
            self._look.wait(pause)
            self._look.clear()
            try:
                pause = third if self._renew() else third / 10
                self._give_sign()
            except psycopg.Error as error:
                logger.warning("The leases could not be renewed: %s", error)
                self._connection = None
            for control in self._controls():
                if not control.is_lease_held:
                    control.interrupt(Reason.LOST)

    def _renew(self) -> bool:
        """Renew what this process holds; whether that was all of it."""
        controls = {control.claim.claim_id: control for control in self._controls()}
        if not controls:
            return True
        sent_at = time.monotonic()
        held = {"claims": list(controls), "lease": settings.EXECUTION_LEASE}
        rows = self._connected().execute(_RENEW, held).fetchall()
        for claim_id, is_cancelling, is_hard, is_pause_requested, is_steered, is_held in rows:
            control = controls[claim_id]
            control.renewed(sent_at)
            control.is_cancelling = is_cancelling
            control.is_pause_requested = is_pause_requested
            control.is_agent_paused = is_held
            if is_steered:
                control.steer()
            if is_cancelling and is_hard:
                control.interrupt(Reason.CANCEL)
        return len(rows) == len(controls)

    def _give_sign(self) -> None:
        self._connected().execute(
            _SIGN,
            {
                "id": self.id,
                "name": self.name,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "queues": json.dumps(self._queues),
                "kinds": json.dumps([kind.label for kind in registered()]),
                "concurrency": self._concurrency,
                "running": len(self._controls()),
                "draining": self.is_draining,
            },
        )

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            # A renewal that hangs must fail while there is still time for the next one, whether
            # it is the server that does not answer or the network that is dead.
            third = settings.EXECUTION_LEASE.total_seconds() / 3
            options = {**own_connections.options(), **own_connections.lively(third)}
            self._connection = psycopg.connect(**options, autocommit=True, connect_timeout=3)
            self._connection.execute(f"SET statement_timeout = {int(third * 1000)}")
        return self._connection

    def _listen(self) -> None:
        """Look at the rows at once when a cancel or pause is announced; without it, a third of
        a lease later."""
        while not self._ended.is_set():
            try:
                with client().pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(CONTROL)
                    while not self._ended.is_set():
                        if subscription.get_message(timeout=5):
                            self._look.set()
            except redis.RedisError:
                self._ended.wait(1)

    def _sweep_when_due(self) -> None:
        while not self._ended.wait(settings.SWEEP_SECONDS):
            try:
                self._sweep()
            except Exception:
                logger.exception("The sweep failed; it runs again when it is next due.")
            finally:
                connections.close_all()
