"""Polling for executions: which one, for whom, when, and at what cost."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.db import connection

from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.models import Agent, Organization, Role
from agents.presence import presence_of, served_queues
from agents.redis import client as redis_client
from executions import actions
from executions.engine import claim as claims
from executions.engine.sweep import sweep
from executions.models import Execution, Worker
from tests.executions.asking import refused, url
from tests.executions.polling import KIND, ByHand, a_remote_agent, a_remote_run, poll, worker_client
from tests.factories import API, client_of, make_key
from tests.processes import wait_until
from tests.starting import a_board, a_run, an_agent, an_organization
from tests.streaming import Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture
def organization() -> Organization:
    return an_organization()


@pytest.fixture
def agent(organization: Organization) -> Agent:
    return a_remote_agent(organization)


@pytest.fixture
def client(organization: Organization):
    return worker_client(organization)


@pytest.fixture
def server():
    with a_server() as server:
        yield server


class Caller:
    """Polls over real HTTP."""

    def __init__(self, server: Server, organization: Organization) -> None:
        self._url = f"{server.url}{API}/dispatch/poll"
        self._key = make_key(organization, Role.OPERATOR, ("dispatch",))[1]

    def poll(self, **body: Any) -> dict[str, Any] | None:
        asked = json.dumps({"kinds": [KIND], "worker": "there"} | body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with urlopen(Request(self._url, asked, headers), timeout=60) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def many(self, number: int, **body: Any) -> list[dict[str, Any] | None]:
        with ThreadPoolExecutor(number) as pool:
            asked = [pool.submit(self.poll, worker=f"w{n}", **body) for n in range(number)]
            return [each.result() for each in asked]


def test_a_poll_answers_all_that_is_needed_to_go_on(agent: Agent, client: Any) -> None:
    run = a_remote_run(agent, values={"steps": 2})
    found = poll(client).json()
    run.refresh_from_db()
    assert (found["exec_id"], found["epoch"], found["kind"]) == (str(run.id), run.epoch, KIND)
    assert found["input"] == {"prompt": "Greet.", "with": {"steps": 2}}
    assert found["agent"] == {"id": str(agent.id), "name": agent.name}
    assert found["checkpoint"]["sequence"] == 0
    assert (found["status"], found["cancel"], found["pause"]) == ("running", False, None)
    assert found["lease_seconds"] == 2.0
    assert "environment" not in found["configuration"]
    assert run.worker == "here"


def test_two_pollers_of_one_execution(agent: Agent, client: Any) -> None:
    a_remote_run(agent)
    assert poll(client).status_code == 200
    again = poll(client)
    assert (again.status_code, again.content) == (204, b"")


def test_ten_pollers_of_five_executions_get_one_each(
    agent: Agent, organization: Organization, server: Server
) -> None:
    runs = {str(a_remote_run(agent).id) for _ in range(5)}
    found = Caller(server, organization).many(10)
    got = [each["exec_id"] for each in found if each]
    assert len(got) == 5
    assert set(got) == runs
    assert not Execution.objects.exclude(epoch=1).exists()


def test_a_poll_returns_its_kinds_and_its_queue_only(
    organization: Organization, client: Any
) -> None:
    gpu = a_board(organization, worker_queue="gpu")
    plain = a_remote_run(a_remote_agent(organization, kind="remote"))
    other = a_remote_run(a_remote_agent(organization, kind="remote:other"))
    far = a_remote_run(a_remote_agent(organization), board=gpu)
    assert poll(client).status_code == 204
    assert poll(client, kinds=["remote"], worker_queue="gpu").status_code == 204
    assert poll(client, worker_queue="gpu").json()["exec_id"] == str(far.id)
    both = {poll(client, kinds=["remote:other", "remote"]).json()["exec_id"] for _ in range(2)}
    assert both == {str(plain.id), str(other.id)}


def test_the_first_in_the_queue_comes_first(agent: Agent, client: Any) -> None:
    late = a_remote_run(agent, priority=5)
    first, second = a_remote_run(agent), a_remote_run(agent)
    got = [poll(client).json()["exec_id"] for _ in range(3)]
    assert got == [str(run.id) for run in (first, second, late)]


def test_a_waiting_poller_is_called(
    agent: Agent, organization: Organization, server: Server
) -> None:
    caller, found = Caller(server, organization), []

    def wait() -> None:
        found.append(caller.poll(wait_seconds=20))
        found.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(Worker.objects.exists)
    started = time.monotonic()
    run = a_remote_run(agent)
    thread.join(20)
    assert found[0]["exec_id"] == str(run.id)
    # A hint wakes it; the look at rows alone would take a second.
    assert found[1] - started < 0.9


def test_a_poller_whose_hint_is_lost_looks_by_itself(
    agent: Agent, organization: Organization, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.pollers.call", lambda *named: None)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Caller(server, organization).poll, wait_seconds=20)
        wait_until(Worker.objects.exists)
        run = a_remote_run(agent)
        assert waiting.result(timeout=5)["exec_id"] == str(run.id)


def test_pollers_that_wait_hold_neither_threads_nor_connections(
    organization: Organization, server: Server
) -> None:
    caller = Caller(server, organization)
    before = connections()
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(caller.poll, worker=f"w{n}", wait_seconds=15) for n in range(60)]
        # Each has given its sign, and begins to wait.
        wait_until(lambda: Worker.objects.count() == 60)
        assert connections() - before < 20
        started = time.monotonic()
        assert caller.poll(kinds=["remote:none"]) is None
        assert time.monotonic() - started < 1.5
        assert [each.result() for each in waiting] == [None] * 60


def connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_an_answer_that_got_lost_is_given_again(agent: Agent, client: Any) -> None:
    a_remote_run(agent), a_remote_run(agent)
    headers = {"HTTP_IDEMPOTENCY_KEY": "one"}
    asked = {"kinds": [KIND], "worker": "here"}
    first = client.post(f"{API}/dispatch/poll", asked, **headers)
    again = client.post(f"{API}/dispatch/poll", asked, **headers)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Execution.objects.filter(status="running").count() == 1


def test_a_poll_that_found_nothing_leaves_its_key_free(agent: Agent, client: Any) -> None:
    headers = {"HTTP_IDEMPOTENCY_KEY": "one"}
    asked = {"kinds": [KIND], "worker": "here"}
    assert client.post(f"{API}/dispatch/poll", asked, **headers).status_code == 204
    run = a_remote_run(agent)
    answer = client.post(f"{API}/dispatch/poll", asked, **headers)
    assert (answer.status_code, answer.json()["exec_id"]) == (200, str(run.id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kinds", []),
        ("kinds", ["remote:"]),
        ("kinds", ["remote:Upper"]),
        ("kinds", "remote"),
        ("wait_seconds", 31),
        ("wait_seconds", -1),
        ("wait_seconds", "1"),
        ("worker", ""),
        ("worker_queue", ""),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_refused(client: Any, field: str, value: Any) -> None:
    problem = refused(poll(client, **{field: value}), 422, "VALIDATION_FAILED")
    assert problem["errors"][0]["field"].startswith(field)


# --- limits, and what else is the same for every execution


def test_a_limit_of_one_keeps_the_second_waiting(organization: Organization, client: Any) -> None:
    agent = a_remote_agent(organization, max_concurrency=1)
    a_remote_run(agent), a_remote_run(agent)
    first = ByHand(client)
    assert poll(client).status_code == 204
    # Suspending frees the slot as an end does.
    first.told("suspend", conditions=[{"kind": "signal", "name": "x"}])
    second = ByHand(client)
    assert second.id != first.id
    assert poll(client).status_code == 204
    second.told("complete")
    assert poll(client).status_code == 204


def test_a_paused_agent_is_not_polled(agent: Agent, client: Any) -> None:
    Agent.objects.filter(pk=agent.pk).update(is_paused=True)
    agent.refresh_from_db()
    run = a_remote_run(agent)
    assert poll(client).status_code == 204
    Agent.objects.filter(pk=agent.pk).update(is_paused=False)
    sweep()
    assert poll(client).json()["exec_id"] == str(run.id)


def test_what_was_cancelled_before_is_not_polled(agent: Agent, client: Any) -> None:
    actions.cancel(a_remote_run(agent), by=SYSTEM)
    assert poll(client).status_code == 204


def test_no_worker_of_signalbox_claims_it_or_is_told_of_it(agent: Agent) -> None:
    run = a_remote_run(agent)
    run.refresh_from_db()
    assert run.admitted_epoch is not None
    assert redis_client().llen("executions") == 0
    assert claims.take(run.id, run.epoch, "celery") is None


def test_the_sweep_sends_no_message_for_it_nor_counts_it_as_one(
    agent: Agent, organization: Organization
) -> None:
    remote = a_remote_run(agent)
    mine = a_run(an_agent(organization), {"say": "x"})
    assert redis_client().llen("executions") == 1
    aged = ClockTimestamp()
    Execution.objects.filter(pk__in=[remote.pk, mine.pk]).update(sent_at=aged - DAY)
    # The message of the other one still lies in the queue: neither is to be sent again.
    assert sweep()["send_again"] == 0
    assert redis_client().llen("executions") == 1


# --- signs of life


def test_a_poller_is_its_agents_worker(agent: Agent, client: Any) -> None:
    served_queues.forget()
    assert presence_of(agent) == "offline"
    poll(client)
    served_queues.forget()
    assert presence_of(agent) == "online"
    other = a_remote_agent(agent.organization, kind="remote:other")
    elsewhere = a_remote_agent(an_organization())
    react = an_agent(agent.organization)
    assert [presence_of(each) for each in (other, elsewhere, react)] == ["offline"] * 3
    Worker.objects.update(seen_at=ClockTimestamp() - DAY)
    served_queues.forget()
    assert presence_of(agent) == "offline"


def test_a_poller_has_one_row_and_a_heartbeat_keeps_it_fresh(agent: Agent, client: Any) -> None:
    a_remote_run(agent)
    held = ByHand(client)
    poll(client)
    Worker.objects.update(seen_at=ClockTimestamp() - DAY)
    held.told("heartbeat")
    row = Worker.objects.get()
    assert (row.name, row.pid) == ("here", 0)
    assert row.queues == [f"{agent.organization_id}/{KIND}@executions"]
    assert Worker.objects.filter(seen_at__gt=ClockTimestamp() - timedelta(seconds=5)).exists()


def test_whoever_waits_for_a_remote_agent_needs_a_poller(agent: Agent, client: Any) -> None:
    api = client_of(agent.organization)
    problem = refused(api.post(url(agent), {"prompt": "x"}), 503, "WORKER_UNAVAILABLE")
    assert problem["worker_queue"] == "executions"
    poll(client)
    late = api.post(url(agent), {"prompt": "x", "timeout": 1})
    refused(late, 408, "REQUEST_TIMEOUT")
