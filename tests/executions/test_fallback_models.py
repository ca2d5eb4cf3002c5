"""Runs whose model cannot answer, and that have another, over real HTTP clients."""

from collections.abc import Iterator

import pytest

from agents.models import Agent
from executions.models import Entry, Event, Execution, Status, ToolCall
from tests.model_server import ModelServer, refused_url
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


def served(server: ModelServer, **settings: object) -> Agent:
    """An agent of OpenAI's protocol that falls back on Anthropic's."""
    other = {"model": "anthropic:second", "base_url": server.url}
    given = {"base_url": server.openai_url, "retries": 0, "fallback_models": [other]} | settings
    return an_agent(model="openai:first", model_settings=given)


def told(run: Execution) -> Execution:
    wait_until(lambda: ended(run))
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(status=500),
        Answer(status=401),
        Answer(status=404),
        Answer(status=429, headers={"Retry-After": "600"}),
        Answer("Cut in the", cut="abort"),
    ],
    ids=["broken", "wrong key", "gone", "busy for long", "cut"],
)
def test_another_provider_answers_and_goes_on(
    server: ModelServer, at_work: WorkerProcess, trouble: Answer
) -> None:
    server.plan(
        trouble,
        Answer("I look.", tools=(("Bash", {"command": "echo here"}),)),
        Answer("All done."),
    )
    run = told(a_run(served(server)))
    assert (run.status, run.output, run.wait_number) == (Status.COMPLETED, "All done.", 0)
    assert "here" in ToolCall.objects.get(execution=run).output
    # The second turn does not lose time to the model that has just failed.
    assert [asked.model for asked in server.requests] == ["first", "second", "second"]
    first, second = Event.objects.filter(execution=run, type="execution.turn").order_by("seq")
    assert first.data["fell_back_from"] == ["openai:first"]
    assert "fell_back_from" not in second.data
    assert [row["model"] for row in run.usage["by_model"]] == [first.data["model"]]


def test_a_server_that_is_not_there_is_passed_over(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    run = told(a_run(served(server, base_url=f"{refused_url()}/v1")))
    assert run.status == Status.COMPLETED
    assert [asked.model for asked in server.requests] == ["second"]


def test_where_none_answers_the_run_fails_with_what_each_said(
    server: ModelServer, at_work: WorkerProcess
) -> None:
    server.plan(Answer(status=500), Answer(status=503))
    run = told(a_run(served(server)))
    assert (run.status, run.failure_code) == (Status.FAILED, "MODEL_ERROR")
    assert "openai:first: first: the provider answered 500" in run.failure_message
    assert "anthropic:second: second: the provider answered 503" in run.failure_message
    assert Entry.objects.filter(execution=run).count() == 1
