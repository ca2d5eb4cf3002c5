"""Starting what is measured, and hearing when it has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import redis
from celery import current_app
from django.db import connection

from agents.models import Agent
from agents.redis import client
from executions.models import TERMINAL, Execution, Status
from executions.stream import channel
from tests.benchmarks.ground import PATIENCE, poll_until
from tests.starting import a_run, an_agent, an_organization, tool

# Three turns: two that call a tool, and an answer.
ANSWER = {"say": "Done."}
PLAIN = [tool("Note", text="one"), tool("Note", text="two"), ANSWER]
READING = [tool("Glob", pattern="*.md"), tool("Glob", pattern="*.md"), ANSWER]
WRITING = [tool("Write", path="a.md", content="a"), tool("Write", path="b.md", content="b"), ANSWER]
_DONE = "bench:done"
_STARTERS = 8


def run_once(agent: Agent, turns: list[dict[str, Any]], hearing: Hearing) -> float:
    """Seconds from the submit to the message in Redis that says: the last event can be read."""
    hearing.catch_up()
    begun = time.monotonic()
    execution = a_run(agent, *turns)
    hearing.wait_for_end(execution.id)
    return time.monotonic() - begun


class Hearing:
    """Hears the publishes of every execution; `last_seq` is the number of their last event."""

    def __init__(self, last_seq: int) -> None:
        self._last_seq = last_seq
        self._subscription: redis.client.PubSub = client().pubsub(ignore_subscribe_messages=True)
        self._subscription.psubscribe(channel("*"))
        self._subscription.get_message(timeout=1)

    def catch_up(self) -> None:
        """Forget what was published of other runs."""
        while self._subscription.get_message(timeout=0) is not None:
            pass

    def wait_for_end(self, execution_id: UUID) -> None:
        """Return when the execution's last event was published."""
        self.wait_for(execution_id, self._last_seq)

    def wait_for(self, execution_id: UUID, seq: int) -> None:
        """Return when the execution's event of this number was published."""
        wanted, deadline = channel(execution_id), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self._subscription.get_message(timeout=5)
            if message is None or message["channel"] != wanted:
                continue
            if json.loads(message["data"]).get("seq", 0) >= seq:
                return
        raise TimeoutError(f"{execution_id} was not heard to come to its event {seq}")

    def close(self) -> None:
        self._subscription.close()


def last_seq_of(agent: Agent, turns: list[dict[str, Any]]) -> int:
    """Carry out one run, see that it went well, and return the number of its last event."""
    execution = a_run(agent, *turns)
    poll_until(lambda: Execution.objects.get(pk=execution.pk).status in TERMINAL)
    execution.refresh_from_db()
    if execution.status != Status.COMPLETED:
        raise RuntimeError(f"{execution.failure_code}: {execution.failure_message}")
    return execution.event_seq


def send_once(task: str, *arguments: Any) -> float:
    """Seconds from the send of a task to its word in Redis that it is done."""
    begun = time.monotonic()
    current_app.send_task(task, args=(_DONE, *arguments), queue="executions", ignore_result=True)
    client().blpop([_DONE], timeout=5)
    return time.monotonic() - begun


def start_all(start: Callable[[int], Any], count: int) -> None:
    """Start so many at once, from a few threads as a web server's would."""

    def one(number: int) -> None:
        try:
            start(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(_STARTERS) as starters:
        list(starters.map(one, range(count)))


def seconds_for_tasks(count: int, task: str, *arguments: Any) -> float:
    """Seconds from the first send to the last word, of so many tasks at once."""
    client().delete(_DONE)
    begun = time.monotonic()

    def send(_: int) -> None:
        current_app.send_task(
            task, args=(_DONE, *arguments), queue="executions", ignore_result=True
        )

    start_all(send, count)
    poll_until(lambda: int(client().llen(_DONE)) >= count)
    return time.monotonic() - begun


def seconds_for_runs(agent: Agent, count: int, *turns: dict[str, Any]) -> float:
    """Seconds from the first submit to the last end, of so many runs at once.

    Raises RuntimeError when one of them did not end well.
    """
    begun = time.monotonic()
    start_all(lambda _: a_run(agent, *turns), count)
    rows = Execution.objects.filter(agent=agent)
    poll_until(lambda: rows.filter(status__in=TERMINAL).count() >= count)
    seconds = time.monotonic() - begun
    bad = rows.exclude(status=Status.COMPLETED).count()
    if bad:
        raise RuntimeError(f"{bad} of {count} runs did not end well")
    return seconds


def a_free_agent(**fields: Any) -> Agent:
    """An agent of an organization of its own, neither with a limit."""
    return an_agent(an_organization(max_concurrent=None), **fields)
