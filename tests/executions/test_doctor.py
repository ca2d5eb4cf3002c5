"""`manage.py doctor` says what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Agent
from executions import actions, diagnosis, pollers, semaphore
from executions.configuration import Wish
from executions.engine import permits
from executions.models import Execution, Job, PauseReason, Status, Worker
from executions.semaphore import Request, Scope
from executions.states import move
from tests.executions.carrying import a_worker, claimed
from tests.starting import an_agent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _known_permits() -> None:
    permits.rebuild()


def examined() -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what was found by name."""
    out, code = StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=out)
    except SystemExit as end:
        code = int(str(end.code))
    return code, {found["name"]: found for found in json.loads(out.getvalue())["findings"]}


def wrong(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is wrong, with the advice for it."""
    return {name: of["advice"] for name, of in found.items() if of["level"] == "wrong"}


def a_run(agent: Agent) -> Execution:
    return actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)


def aged(execution: Execution, **fields: Any) -> None:
    Execution.objects.filter(pk=execution.pk).update(**fields)


def test_a_sound_installation_is_found_sound(agent: Agent) -> None:
    worker = a_worker()
    code, found = examined()
    assert (code, wrong(found)) == (0, {})
    assert "PostgreSQL" in found
    assert "ms" in found["Redis"]["text"]
    assert found["migrations"]["text"] == "all applied"
    assert "queues executions" in found[worker.name]["text"]


def test_no_worker_and_an_unserved_queue_are_wrong(agent: Agent) -> None:
    run = a_run(agent)
    aged(run, worker_queue="gpu")
    Job.objects.create(
        execution=run, key="k", kind="test.add", due_at=timezone.now(), worker_queue="heavy"
    )
    a_worker(silent_for=timedelta(minutes=5))
    code, found = examined()
    assert code == 1
    assert wrong(found) == {
        "workers": "Start one: manage.py up, or celery -A config worker.",
        "queue heavy": "Start a worker with --queues heavy.",
        "queue gpu": "Start a worker with --queues gpu.",
    }


def test_a_kind_that_no_worker_has_is_wrong(agent: Agent) -> None:
    a_run(agent)
    worker = a_worker(kinds=["letters 2"])
    advice = "Start a worker whose SIGNALBOX_MODULES name the module of this kind."
    assert wrong(examined()[1]) == {"kind react": advice}
    Worker.objects.filter(pk=worker.pk).update(kinds=["letters 2", "react"])
    assert wrong(examined()[1]) == {}


def test_a_place_where_nobody_polls_is_wrong_and_a_poller_is_no_worker_of_ours(
    agent: Agent,
) -> None:
    remote = an_agent(agent.organization, kind="remote:billing")
    a_run(remote)
    place = f"{agent.organization_id}/remote:billing@executions"
    a_worker()
    assert wrong(examined()[1]) == {place: "Start the worker outside that polls for it."}
    Worker.objects.all().delete()
    pollers.give_sign(agent.organization_id, "billing-1", [place])
    found = examined()[1]
    assert list(wrong(found)) == ["workers"]
    assert "polls" not in found
    assert place in found["billing-1"]["text"]


def test_what_waits_behind_a_limit_is_explained_and_not_wrong(agent: Agent) -> None:
    a_worker()
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=1)
    agent.refresh_from_db()
    claimed(a_run(agent))
    aged(a_run(agent), queued_at=timezone.now() - timedelta(hours=1))
    code, found = examined()
    assert code == 0
    assert "60 min old; its agent's limit is reached" in found["queue"]["text"]


def test_what_nothing_holds_up_and_nobody_takes_is_wrong(agent: Agent) -> None:
    a_worker()
    long_ago = timezone.now() - timedelta(minutes=10)
    aged(a_run(agent), admitted_at=long_ago)
    late = a_run(agent)
    claimed(late)
    aged(late, lease_expires_at=long_ago)
    queued = a_run(agent)
    permits.give_back(queued, Execution.objects.get(pk=queued.pk).permit)
    aged(queued, queued_at=long_ago, admitted_epoch=None, admitted_at=None)
    code, found = examined()
    assert code == 1
    assert set(wrong(found)) == {"queue", "admitted, unclaimed", "leases run out"}
    assert str(late.id) in found["leases run out"]["text"]


def test_pauses_at_limits_and_failures_are_told(agent: Agent) -> None:
    a_worker()
    run, failed = a_run(agent), a_run(agent)
    permits.give_back(run, Execution.objects.get(pk=run.pk).permit)
    assert move(run, Status.PAUSED, event="execution.paused", pause_reason=PauseReason.TURN_LIMIT)
    permits.give_back(failed, Execution.objects.get(pk=failed.pk).permit)
    assert move(failed, Status.FAILED, event="execution.failed", failure_code="TIMED_OUT")
    code, found = examined()
    assert code == 0
    assert found["paused at turn_limit"]["advice"] == "Extend, finish or cancel them."
    assert found["failed: TIMED_OUT"]["text"] == "1 within the hour"


def test_permits_that_belong_to_nothing_are_wrong(agent: Agent) -> None:
    a_worker()
    a_run(agent)
    scope = Scope("organization", str(agent.organization_id))
    semaphore.acquire([Request("nobody:0", (scope,))])
    code, found = examined()
    assert (code, found["permits"]["text"]) == (1, "1 in Redis belong to nothing that runs")


def test_a_migration_that_is_missing_is_wrong() -> None:
    a_worker()
    row = MigrationRecorder.Migration.objects.filter(app="executions").latest("name")
    row.delete()
    try:
        code, found = examined()
    finally:
        MigrationRecorder.Migration.objects.create(app=row.app, name=row.name)
    assert (code, wrong(found)) == (1, {"migrations": "Run manage.py migrate."})


def test_a_redis_that_is_away_is_said_and_the_rest_still_looked_at(monkeypatch: Any) -> None:
    a_worker()

    def away() -> Any:
        raise ConnectionError("refused")

    monkeypatch.setattr(diagnosis, "client", away)
    code, found = examined()
    assert code == 1
    assert found["not read"]["text"] == "ConnectionError: refused"
    assert found["queue"]["text"] == "empty"


def test_passwords_are_not_shown(settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@cache.example:6379/0"
    _, found = examined()
    assert found["address of Redis"]["text"] == "external, cache.example:6379/0"
    assert "hunter2" not in json.dumps(found)


def test_people_read_it_in_lines() -> None:
    a_worker()
    out = StringIO()
    call_command("doctor", stdout=out)
    assert "✓ migrations: all applied" in out.getvalue()
    assert "All is well." in out.getvalue()
