"""What people and shutdowns ask for in the middle of a model call or a tool is never lost."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Agent
from executions import actions
from executions.engine import sweep as sweeps
from executions.models import Event, Execution, Status
from tests.chaos.fleet import processes_with
from tests.executions.repositories import a_repository
from tests.model_server import ModelServer
from tests.model_wire import Answer
from tests.processes import WorkerProcess, ended, wait_until, worker
from tests.starting import a_board, a_run, an_agent, an_organization, tool

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = 1.5


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def at_work() -> Iterator[WorkerProcess]:
    with worker(OPENAI_API_KEY="k") as process:
        yield process


def asking(server: ModelServer, **fields: object) -> Agent:
    settings = {"base_url": server.openai_url, "retries": 0}
    return an_agent(model="openai:any", model_settings=settings, **fields)


def started(server: ModelServer, agent: Agent) -> Execution:
    """A run that waits for its model now."""
    run = a_run(agent, {"say": "x"})
    wait_until(lambda: server.requests)
    return run


def stands(run: Execution, *statuses: Status) -> Execution:
    wait_until(lambda: Execution.objects.filter(pk=run.pk, status__in=statuses).exists())
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    "answer", [Answer(status=500, delay=SLOW), Answer(status=400, delay=SLOW)], ids=["busy", "bad"]
)
def test_a_cancel_while_the_model_fails_ends_the_run_at_once(
    server: ModelServer, at_work: WorkerProcess, answer: Answer
) -> None:
    server.plan(answer)
    run = started(server, asking(server))
    actions.cancel(run, by=SYSTEM)
    stands(run, Status.CANCELLED)
    reasons = Event.objects.filter(execution=run, type="execution.cancelled").values_list(
        "data__reason", flat=True
    )
    assert list(reasons) == [None]  # By its worker, and not by the sweep for a lost lease.


def test_a_pause_while_the_model_is_busy_pauses(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(Answer(status=429, headers={"Retry-After": "600"}, delay=SLOW))
    run = started(server, asking(server))
    actions.pause(run, by=SYSTEM)
    assert stands(run, Status.PAUSED, Status.WAITING).status == Status.PAUSED


def test_a_pause_on_a_worker_that_stops_pauses(server: ModelServer) -> None:
    server.plan(Answer("done", delay=30))
    with worker(OPENAI_API_KEY="k", SIGNALBOX_DRAIN_SECONDS="0.2") as process:
        run = started(server, asking(server))
        # Heard of by nobody but the row: the worker learns of it with the commit of its yield.
        Execution.objects.filter(pk=run.pk).update(pause_requested_at=timezone.now())
        process.stop()
    assert stands(run, Status.PAUSED, Status.QUEUED).status == Status.PAUSED


def test_a_set_up_that_a_stopping_worker_ends_has_not_failed(
    server: ModelServer, tmp_path: Path
) -> None:
    server.plan(Answer(tools=(("Glob", {"pattern": "*"}),)))
    repository = a_repository(tmp_path / "repository", {"a.txt": "one"})
    organization = an_organization()
    board = a_board(organization, repository=str(repository), setup_command="sleep 61")
    with worker(OPENAI_API_KEY="k", SIGNALBOX_DRAIN_SECONDS="0.2") as process:
        run = a_run(asking(server, organization=organization), {"say": "x"}, board=board)
        wait_until(lambda: processes_with("sleep 61"))
        process.stop()
    run.refresh_from_db()
    assert (run.status, run.failure_code) == (Status.QUEUED, "")


def test_turns_that_are_added_while_it_runs_count(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    look = Answer(tools=(("Glob", {"pattern": "*"}),), delay=SLOW)
    server.plan(look, *[Answer(tools=look.tools)] * 2, Answer("done"))
    run = started(server, asking(server, max_turns=2))
    actions.extend(run, turns=5, by=SYSTEM)
    wait_until(lambda: ended(run) or stands(run, *Status).status == Status.PAUSED)
    assert stands(run, *Status).status == Status.COMPLETED


def test_feedback_in_the_middle_of_a_turn_comes_after_its_last_result(
    server: ModelServer,
) -> None:
    """A worker stops between two calls of one turn; a person pauses, and resumes with words."""
    calls = (("Bash", {"command": "sleep 30"}), ("Glob", {"pattern": "*"}))
    server.plan(Answer(tools=calls), Answer("done"))
    with worker(OPENAI_API_KEY="k", SIGNALBOX_DRAIN_SECONDS="0.2") as first:
        run = started(server, asking(server))
        wait_until(lambda: run.tool_calls.filter(status="running").exists())
        first.stop()
    stands(run, Status.QUEUED)
    actions.pause(run, by=SYSTEM)
    actions.resume(run, by=SYSTEM, feedback="hurry")
    with worker(OPENAI_API_KEY="k"):
        wait_until(lambda: ended(run))
    roles = [item["role"] for item in server.requests[-1].conversation()]
    assert roles[-4:] == ["assistant", "tool", "tool", "user"]


def test_a_deadline_stands_still_while_paused() -> None:
    run = a_run(an_agent(), {"say": "x"}, deadline_seconds=3600)
    actions.pause(run, by=SYSTEM)
    day = timedelta(days=1)
    Execution.objects.filter(pk=run.pk).update(deadline_at=F("deadline_at") - day)
    Event.objects.filter(execution=run).update(created_at=F("created_at") - day)
    actions.resume(run, by=SYSTEM)
    sweeps.sweep()
    assert stands(run, *Status).status == Status.QUEUED


def test_many_agents_at_their_limit_hold_up_nobody_else() -> None:
    organization = an_organization()
    for _ in range(22):
        busy = an_agent(organization, max_concurrency=1)
        for _ in range(27):
            a_run(busy, {"say": "x"})
    free = a_run(an_agent(organization, max_concurrency=1), tool("Glob", pattern="*"))
    free.refresh_from_db()
    assert free.admitted_epoch is not None
