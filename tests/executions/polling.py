"""A worker outside, as tests of the dispatch API play one: by hand, or as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Organization, Role
from executions import actions
from executions.configuration import Wish
from executions.models import Execution
from tests.factories import API, client_of, make_key
from tests.starting import an_agent

KIND = "remote:greeter"
BASE = f"{API}/dispatch"
_SCRIPT = Path(__file__).resolve().parent.parent / "reference_worker.py"


def a_remote_agent(organization: Organization, **fields: Any) -> Agent:
    return an_agent(organization, **({"kind": KIND} | fields))


def a_remote_run(agent: Agent, **wish: Any) -> Execution:
    values = wish.pop("values", {})
    return actions.start(agent, Wish(prompt="Greet.", values=values, **wish), by=SYSTEM)


def worker_client(organization: Organization) -> APIClient:
    """Calls with a key of the least that a worker needs."""
    return client_of(organization, Role.OPERATOR, "dispatch")


def poll(client: APIClient, **body: Any) -> Any:
    asked = {"kinds": [KIND], "worker": "here"} | body
    return client.post(f"{BASE}/poll", asked)


class ByHand:
    """A claimed execution, of which a test makes each call itself."""

    def __init__(self, client: APIClient, **body: Any) -> None:
        answer = poll(client, **body)
        assert answer.status_code == 200, answer.content
        self.claimed: dict[str, Any] = answer.json()
        self.id, self.epoch, self.client = self.claimed["exec_id"], self.claimed["epoch"], client

    @property
    def row(self) -> Execution:
        return Execution.objects.get(pk=self.id)

    def send(self, call: str, **body: Any) -> Any:
        return self.client.post(f"{BASE}/{self.id}/{call}", {"epoch": self.epoch, **body})

    def told(self, call: str, **body: Any) -> dict[str, Any]:
        answer = self.send(call, **body)
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def get(self, what: str) -> Any:
        return self.client.get(f"{BASE}/{self.id}/{what}", {"epoch": self.epoch})

    def say(self, text: str, **more: Any) -> dict[str, Any]:
        return self.told("entries", entries=[{"text": text}], **more)


class Process:
    """The reference worker as a process of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.name = f"reference-{uuid4().hex[:8]}"
        options = ["--url", url, "--key", key, "--kind", KIND, "--worker", self.name]
        self.process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), *options], start_new_session=True
        )

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
        self.process.wait()


@contextmanager
def reference_worker(url: str, organization: Organization) -> Iterator[Process]:
    process = Process(url, make_key(organization, Role.OPERATOR, ("dispatch",))[1])
    try:
        yield process
    finally:
        process.kill()
