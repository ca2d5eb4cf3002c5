"""A change with If-Match holds only for the version that was read."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from agents.models import Agent


def patch(client: Client, agent: Agent, tag: str, **body: Any) -> Any:
    headers = {"If-Match": tag} if tag else {}
    return client.patch(f"/api/v0/agents/{agent.id}", body, "application/json", headers=headers)


def tag_of(client: Client, agent: Agent) -> str:
    return client.get(f"/api/v0/agents/{agent.id}")["ETag"]


def test_a_change_gives_the_new_tag(api: Client, agent: Agent) -> None:
    first = tag_of(api, agent)

    answer = patch(api, agent, first, name="Other")

    assert answer.status_code == 200
    assert answer["ETag"] == tag_of(api, agent) != first


def test_a_stale_tag_is_412(api: Client, agent: Agent) -> None:
    first = tag_of(api, agent)
    patch(api, agent, "", name="Other")

    answer = patch(api, agent, first, name="Lost")

    assert (answer.status_code, answer.json()["code"]) == (412, "PRECONDITION_FAILED")
    assert answer.json()["etag"] == tag_of(api, agent)
    assert Agent.objects.get().name == "Other"


@pytest.mark.parametrize("form", ["*", '"other", {}', ""])
def test_any_fitting_tag_will_do(api: Client, agent: Agent, form: str) -> None:
    assert patch(api, agent, form.format(tag_of(api, agent)), name="Other").status_code == 200


@pytest.mark.parametrize("form", ["W/{}", "nonsense"])
def test_a_weak_or_malformed_tag_fits_nothing(api: Client, agent: Agent, form: str) -> None:
    assert patch(api, agent, form.format(tag_of(api, agent)), name="x").status_code == 412


@pytest.mark.django_db(transaction=True)
def test_of_two_racing_changes_with_one_tag_one_holds(
    api: Client, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = tag_of(api, agent)
    checked, leave = threading.Event(), threading.Event()
    save = Agent.save

    def slow(row: Agent, *args: Any, **kwargs: Any) -> None:
        if not checked.is_set():
            checked.set()
            assert leave.wait(20)
        save(row, *args, **kwargs)

    def change(name: str) -> int:
        try:
            return patch(api, agent, tag, name=name).status_code
        finally:
            connection.close()

    monkeypatch.setattr(Agent, "save", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(change, "first")
        assert checked.wait(20)
        second = pool.submit(change, "second")
        wait_until_blocked(second)
        leave.set()

    assert (first.result(), second.result()) == (200, 412)
    assert Agent.objects.get().name == "first"


def wait_until_blocked(other: Future[int]) -> None:
    """Until a connection to this database waits for a lock, or the other has come through."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not other.done():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
