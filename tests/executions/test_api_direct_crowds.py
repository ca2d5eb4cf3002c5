"""Many callers of one web process at once: one execution for a key, and waits that cost nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.db import connection
from django.utils import timezone

from agents.models import Agent, Organization, Role
from agents.watching import looks
from executions import waiters
from executions.models import Execution, Status
from tests.agents.rest.serving import serving
from tests.executions.asking import url
from tests.executions.carrying import a_worker, carrying_on, complete
from tests.factories import make_key
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 200


@pytest.fixture
def headers(organization: Organization) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_key(organization, Role.OPERATOR)[1]}"}


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]


def caller(host: str, port: int, headers: dict[str, str]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"http://{host}:{port}",
        headers=headers,
        limits=httpx2.Limits(max_connections=None),
        timeout=60,
    )


async def together(*calls: Coroutine[Any, Any, httpx2.Response]) -> list[httpx2.Response]:
    return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("tail", ["", "/async"])
def test_twenty_callers_with_one_key_start_one_execution(
    agent: Agent, headers: dict[str, str], tail: str
) -> None:
    a_worker()

    async def ask(host: str, port: int) -> list[httpx2.Response]:
        async with caller(host, port, headers | {"Idempotency-Key": "the same"}) as client:
            body = {"prompt": "Once.", "timeout": 30}
            return await together(*(client.post(url(agent, tail), json=body) for _ in range(20)))

    with serving(get_asgi_application()) as address, carrying_on(complete):
        answers = asyncio.run(ask(*address))

    assert Execution.objects.count() == 1
    assert {answer.status_code for answer in answers} == {202 if tail else 200}
    assert len({answer.json()["exec_id"] for answer in answers}) == 1
    first = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
    assert len(first) == 1


def test_a_crowd_that_waits_holds_no_threads_and_harms_nobody(
    agent: Agent, headers: dict[str, str]
) -> None:
    a_worker(silent_for=-timedelta(minutes=5))
    before = threading.active_count()
    seen: dict[str, Any] = {}

    async def ask(host: str, port: int) -> list[httpx2.Response]:
        async with caller(host, port, headers) as client:
            body = {"prompt": "Wait.", "timeout": 60}
            crowd = [
                asyncio.create_task(
                    client.post(url(agent), json=body, headers={"Idempotency-Key": str(n)})
                )
                for n in range(CROWD)
            ]
            while await sync_to_async(_started)() < CROWD:
                answered = [call.result().text for call in crowd if call.done()]
                assert not answered, "nobody is answered yet"
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            seen["threads"] = threading.active_count() - before
            began = time.perf_counter()
            seen["health"] = (await client.get("/healthz")).status_code
            seen["read"] = (await client.get("/api/v0/executions/agents?limit=1")).status_code
            seen["seconds"] = time.perf_counter() - began
            await sync_to_async(_complete_all)()
            return await asyncio.gather(*crowd)

    with serving(get_asgi_application()) as address:
        answers = asyncio.run(ask(*address))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["exec_id"] for answer in answers}) == CROWD
    assert (seen["health"], seen["read"]) == (200, 200)
    assert seen["threads"] < 20
    assert seen["seconds"] < 2


def _started() -> int:
    try:
        return Execution.objects.count()
    finally:
        connection.close()


def _complete_all() -> None:
    """At once, and without a word to anybody: the waiters must look by themselves."""
    now = timezone.now()
    Execution.objects.update(
        status=Status.COMPLETED, output="done", finished_at=now, admitted_epoch=None
    )
    connection.close()


def test_waiters_hear_of_the_end_without_redis_too(
    agent: Agent, headers: dict[str, str], settings: Any
) -> None:
    a_worker()
    # Only the waiters read it from here on: the client of the rest of the process has its own.
    parts = urlsplit(settings.REDIS_URL)
    settings.REDIS_URL = urlunsplit(parts._replace(scheme="redis", netloc="127.0.0.1:1"))

    async def ask(host: str, port: int) -> list[httpx2.Response]:
        async with caller(host, port, headers) as client:
            return await together(client.post(url(agent), json={"prompt": "Wait.", "timeout": 30}))

    with serving(get_asgi_application()) as address, carrying_on(complete):
        (answer,) = asyncio.run(ask(*address))

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_waiters_hear_of_the_end_from_redis_at_once(
    agent: Agent, headers: dict[str, str], monkeypatch: Any
) -> None:
    a_worker()
    monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)

    async def ask(host: str, port: int) -> httpx2.Response:
        async with caller(host, port, headers) as client:
            return await client.post(url(agent), json={"prompt": "Wait.", "timeout": 20})

    def complete_later(execution: Execution) -> None:
        # After the first look, so that only the publish can tell of it.
        time.sleep(1)
        complete(execution)

    with serving(get_asgi_application()) as address, carrying_on(complete_later):
        answer = asyncio.run(ask(*address))

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_a_caller_that_goes_away_leaves_nothing_and_its_execution_goes_on(
    agent: Agent, headers: dict[str, str]
) -> None:
    a_worker()
    counts: list[int] = []
    inner = get_asgi_application()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/waiting":
            counts.append(waiters.waiting())
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await inner(scope, receive, send)

    def waiting_now(host: str, port: int) -> int:
        httpx2.get(f"http://{host}:{port}/waiting")
        return counts[-1]

    async def ask_and_leave(host: str, port: int) -> None:
        async with caller(host, port, headers) as client:
            body = {"prompt": "Wait.", "timeout": 60}
            asking = asyncio.create_task(client.post(url(agent), json=body))
            await asyncio.to_thread(wait_until, lambda: waiting_now(host, port) == 1)
            asking.cancel()
            await asyncio.wait([asking])

    with serving(app) as (host, port):
        asyncio.run(ask_and_leave(host, port))
        wait_until(lambda: waiting_now(host, port) == 0)
    assert Execution.objects.get().status == "queued"
