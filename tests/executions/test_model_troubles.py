"""Runs whose model is slow, busy, broken or stubborn, over a real HTTP client."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from agents.models import Agent
from executions.models import Condition, Entry, Execution, Status, ToolCall
from tests.model_server import ModelServer
from tests.model_wire import Answer
from tests.processes import WorkerProcess, ended, wait_until, worker
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def at_work() -> Iterator[WorkerProcess]:
    with worker(OPENAI_API_KEY="k", ANTHROPIC_API_KEY="k") as process:
        yield process


def served(server: ModelServer, provider: str = "openai", **fields: object) -> Agent:
    url = server.url if provider == "anthropic" else server.openai_url
    settings = {"base_url": url, "retries": 2}
    return an_agent(model=f"{provider}:any", model_settings=settings, **fields)


def told(run: Execution) -> Execution:
    wait_until(lambda: ended(run))
    run.refresh_from_db()
    return run


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_run_streams_calls_a_tool_and_counts_what_it_cost(
    server: ModelServer, at_work: WorkerProcess, provider: str
) -> None:
    server.plan(
        Answer("Looking.", tools=(("Bash", {"command": "echo here"}),), input_tokens=20),
        Answer("All done.", input_tokens=30, output_tokens=7),
    )
    run = told(a_run(served(server, provider)))
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "All done.", 2)
    assert (run.usage["input_tokens"], run.usage["requests"]) == (50, 2)
    assert "here" in ToolCall.objects.get(execution=run).output
    assert len(server.requests) == 2


def test_a_call_of_an_endless_name_goes_back_to_the_model(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(
        Answer(tools=(("Bash(" * 100, {}), ("B", {})), call_ids=("c" * 300, "c" * 301)),
        Answer("All done."),
    )
    run = told(a_run(served(server)))
    assert (run.status, run.output) == (Status.COMPLETED, "All done.")
    calls = ToolCall.objects.filter(execution=run)
    assert all("There is no tool" in call.output for call in calls)
    assert len({call.call_id for call in calls}) == 2


def test_a_short_retry_after_is_waited_for_in_place(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(Answer(status=429, headers={"Retry-After": "1"}), Answer("There."))
    run = told(a_run(served(server)))
    assert (run.output, run.recoveries, run.wait_number) == ("There.", 0, 0)


def test_a_long_retry_after_frees_worker_and_permit_until_its_timer(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(Answer(status=429, headers={"Retry-After": "600"}), Answer("There."))
    agent = served(server, max_concurrency=1)
    run = a_run(agent)
    wait_until(lambda: Execution.objects.filter(pk=run.pk, status=Status.WAITING).exists())
    run.refresh_from_db()
    assert (run.admitted_epoch, run.claim_id) == (None, None)
    other = told(a_run(an_agent(agent.organization), {"say": "meanwhile"}))
    assert other.status == Status.COMPLETED
    Condition.objects.filter(execution=run).update(due_at=F("due_at") - timedelta(hours=1))
    assert told(run).output == "There."
    assert not Condition.objects.filter(execution=run).exists()


def test_a_cut_stream_is_asked_again_and_kept_once(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(Answer("Half of it", cut="abort"), Answer("The whole of it."))
    run = told(a_run(served(server)))
    assert run.output == "The whole of it."
    assert Entry.objects.filter(execution=run, role="assistant").count() == 1


def test_a_model_that_stays_broken_fails_the_run_with_its_words(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(*[Answer(status=500)] * 5)
    run = told(a_run(served(server)))
    assert (run.status, run.failure_code) == (Status.FAILED, "MODEL_ERROR")
    assert "500" in run.failure_message


def test_malformed_arguments_and_unknown_tools_are_told_to_the_model(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(
        Answer(tools=(("Bash", '{"command": "echo'), ("Teleport", {"to": "Mars"}))),
        Answer("I see."),
    )
    run = told(a_run(served(server)))
    assert run.status == Status.COMPLETED
    outcomes = list(ToolCall.objects.filter(execution=run).values_list("name", "status"))
    assert outcomes == [("Bash", "error"), ("Teleport", "error")]


def test_an_output_that_does_not_fit_is_sent_back_at_most_twice(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    actions = {"count": {"prompt": "Count.", "output_schema": schema}}
    server.plan(Answer("no"), Answer('{"n": "x"}'), Answer('```json\n{"n": 3}\n```'))
    agent = served(server, actions=actions)
    assert told(a_run(agent, action="count", values={})).output == {"n": 3}
    server.plan(*[Answer("never")] * 3)
    run = told(a_run(agent, action="count", values={}))
    assert (run.failure_code, run.turn) == ("OUTPUT_INVALID", 3)
