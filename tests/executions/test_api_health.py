"""The two questions of a load balancer: is the process up, and can it work?"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from django.core.asgi import get_asgi_application
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from executions import health, pollers
from tests.executions.carrying import a_worker

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["database", "redis", "migrations", "worker"]


def ready() -> tuple[int, dict[str, Any]]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["checks"]


def test_a_process_that_answers_is_up_whatever_else_is_down(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_it_is_ready_with_a_live_worker() -> None:
    a_worker()
    status, checks = ready()
    assert (status, list(checks)) == (200, NAMES)
    assert all(check["ok"] and check["ms"] >= 0 for check in checks.values())


def test_a_worker_outside_is_none_of_ours() -> None:
    pollers.give_sign(uuid4(), "billing-1", ["x/remote@executions"])
    assert not ready()[1]["worker"]["ok"]


def test_without_a_worker_it_is_not_ready_and_says_so() -> None:
    status, checks = ready()
    assert status == 503
    assert [name for name in NAMES if not checks[name]["ok"]] == ["worker"]
    assert checks["worker"]["error"] == "no live worker"


def test_a_migration_that_is_missing_is_said() -> None:
    a_worker()
    row = MigrationRecorder.Migration.objects.get(app="executions", name="0001_initial")
    row.delete()
    try:
        status, checks = ready()
    finally:
        MigrationRecorder.Migration.objects.create(app=row.app, name=row.name)
    assert (status, checks["migrations"]["error"]) == (503, "1 not applied")


def test_what_is_down_is_named_without_its_address(settings: Any, monkeypatch: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1"
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hunter2")

    answer = Client().get("/readyz")

    checks = answer.json()["checks"]
    assert answer.status_code == 503
    assert {check["error"] for check in checks.values()} == {"no answer"}
    assert b"hunter2" not in answer.content
    assert b"127.0.0.1" not in answer.content


def test_what_does_not_answer_is_given_up_soon(monkeypatch: Any) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(health, "_redis", hang)
    _, checks = ready()
    assert checks["redis"]["error"] == "no answer within 0.2 s"
    assert checks["redis"]["ms"] < 5000


def test_many_who_ask_at_once_share_one_look(monkeypatch: Any) -> None:
    looks = []

    async def look() -> None:
        looks.append(1)
        await asyncio.sleep(0.05)

    monkeypatch.setattr(health, "_database", look)
    # On a busy machine the crowd takes longer than a second to come in.
    monkeypatch.setattr(health, "_REMEMBERED_SECONDS", 60)
    app = get_asgi_application()

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            if asked.pop():
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.sleep(60)
            return {}

        asked = [False, True]

        async def send(message: dict[str, Any]) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/readyz", "query_string": b""}
        await app(scope | {"headers": [(b"host", b"localhost")]}, receive, send)

    async def crowd() -> None:
        await asyncio.gather(*(ask() for _ in range(20)))

    asyncio.run(crowd())
    assert len(looks) == 1
