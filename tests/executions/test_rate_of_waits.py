"""Starts that wait and streams keep to the rate of their caller, and cost the loop nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from agents.actions import revoke_key
from agents.activity import SYSTEM
from agents.models import Agent, IntegrationKey, Organization
from agents.rest import events, rates
from executions.models import Execution
from tests.agents.rest.rate_rows import counted, take_redis_away
from tests.executions.asking import refused, url
from tests.executions.watching_streams import reading_key
from tests.factories import API, make_key
from tests.starting import a_run, an_agent
from tests.streaming import Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> Iterator[None]:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    yield
    rates._door.cache_clear()


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def run(organization: Organization) -> Execution:
    return a_run(an_agent(organization), {"say": "x"})


def bearer(organization: Organization) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_key(organization)[1]}"}


@pytest.fixture
def within_a_loop(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each question to Redis, whether it was asked in the thread of a loop."""
    plain, found = rates._through, []

    def watched(ask: Any) -> Any:
        found.append(asyncio._get_running_loop() is not None)
        return plain(ask)

    monkeypatch.setattr(rates, "_through", watched)
    return found


@pytest.mark.parametrize("redis_is_there", [True, False])
def test_redis_is_asked_in_no_loop(
    server: Server, run: Execution, settings: Any, within_a_loop: list[bool], redis_is_there: bool
) -> None:
    if not redis_is_there:
        take_redis_away(settings)
    headers = bearer(run.organization)
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
        # No worker lives: refused at once, after it was counted.
        assert client.post(url(run.agent), json={"prompt": "x"}).status_code == 503
        client.post(url(run.agent, "/async"), json={"prompt": "x"})
        with client.stream("GET", f"{API}/executions/agents/{run.pk}/stream") as answer:
            assert answer.status_code == 200

    assert within_a_loop == [False] * 3


def test_async_views_refuse_one_request_too_many(
    server: Server, agent: Agent, run: Execution, organization: Organization, settings: Any
) -> None:
    settings.SIGNALBOX_REQUESTS_A_MINUTE = 1
    headers = bearer(organization)
    started = Execution.objects.count()
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
        client.get(f"{API}/agents")
        for tail in ("", "/async"):
            answer = client.post(url(agent, tail), json={"prompt": "x"})
            problem = refused(answer, 429, "THROTTLED")
            assert answer.headers["Retry-After"] == str(problem["retry_after"])
        stream = client.get(f"{API}/executions/agents/{run.pk}/stream")
        refused(stream, 429, "THROTTLED")

    assert Execution.objects.count() == started


def test_a_stream_is_one_request_however_often_it_looks_who_reads(
    server: Server, run: Execution, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.2)
    reads = reading_key(organization)
    with server.reading(f"/executions/agents/{run.pk}/stream", reads) as reader:
        while not reader.is_silent():
            pass
        assert counted("requests") == 1
        # The streams of a key that is taken away end; they are no failed authentications.
        revoke_key(IntegrationKey.objects.get(), by=SYSTEM)
        assert reader.rest() is not None

    assert counted("failed-tokens") == 0
    assert counted("requests") == 1
