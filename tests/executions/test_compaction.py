"""Runs that grow longer than their model's window: summed up once, kept whole, taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Organization
from executions import actions
from executions.configuration import Wish
from executions.engine import claim as claims
from executions.engine.sweep import sweep
from executions.models import Entry, EntryType, Event, Execution, Status
from executions.transcripts import load
from tests.executions.carrying import drive
from tests.model_server import ModelServer
from tests.model_wire import Answer
from tests.starting import an_agent

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {"command": "head -c 6000 /dev/zero | tr '\\0' 'x'"}
LOOK = Answer("I look.", tools=(("Bash", LONG),), input_tokens=0)
PROVIDERS = ("openai", "openai-responses", "anthropic")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    with ModelServer() as running:
        yield running


def served(server: ModelServer, organization: Organization, provider: str, **more: Any) -> Agent:
    url = server.url if provider == "anthropic" else server.openai_url
    settings = {"base_url": url, "retries": 0, **more}
    return an_agent(organization, model=f"{provider}:any", model_settings=settings, tools=["Bash"])


def begun(agent: Agent) -> Execution:
    return actions.start(agent, Wish(prompt="Look at it all."), by=SYSTEM)


def sent(server: ModelServer) -> list[str]:
    """What each request said last, as text."""
    return [str(asked.conversation()[-1]) for asked in server.requests]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_long_run_is_summed_up_and_goes_on(
    api: APIClient, organization: Organization, server: ModelServer, provider: str
) -> None:
    run = begun(served(server, organization, provider, context_tokens=6000))
    server.plan(LOOK, LOOK, LOOK, LOOK, Answer("It was all x."), Answer("All x."))
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "All x.", 5)
    assert "Sum it up" in sent(server)[4]
    assert "tools" not in server.requests[4].body
    last = str(server.requests[5].conversation())
    assert "It was all x." in last
    assert "Look at it all." in last
    assert len(last) < len(str(server.requests[3].conversation()))
    # The whole of it is still there, the summary among it.
    shown = api.get(f"/api/v0/executions/agents/{run.id}/entries", {"limit": 100}).json()
    kinds = [entry["type"] for entry in shown["results"]]
    assert kinds.count("tool_result") == 4
    assert kinds.count("compaction") == 1
    assert run.usage["requests"] == 6
    event = Event.objects.get(execution=run, type="execution.compacted")
    assert event.data["turn"] == 4


def test_a_run_that_is_taken_up_again_is_sent_what_it_was_sent_before(
    organization: Organization, server: ModelServer
) -> None:
    agent = served(server, organization, "openai", context_tokens=6000)
    Agent.objects.filter(pk=agent.pk).update(max_turns=4)
    agent.refresh_from_db()
    run = begun(agent)
    server.plan(LOOK, LOOK, LOOK, LOOK, Answer("It was all x."), Answer("All x."))
    drive(run)
    assert run.status == Status.PAUSED
    actions.extend(run, turns=5, by=SYSTEM)
    drive(run)
    assert run.output == "All x."
    messages = load(run)[0].messages
    assert [message.content[:20] for message in messages[:2]] == [
        "Look at it all.",
        "What came before, su",
    ]
    assert messages[-1].content == "All x."


@pytest.mark.parametrize("take_up", ["extended", "forked"])
def test_how_long_tokens_are_is_still_known_when_a_run_is_taken_up_again(
    organization: Organization, server: ModelServer, take_up: str
) -> None:
    """Of characters that are a token each, four results of 6,000 do not fit where 4 were taken."""
    agent = served(server, organization, "openai", context_tokens=24_000)
    Agent.objects.filter(pk=agent.pk).update(max_turns=4)
    agent.refresh_from_db()
    run = begun(agent)
    server.plan(LOOK, LOOK, LOOK, replace(LOOK, input_tokens=22_000))
    drive(run)
    assert (run.status, run.turn) == (Status.PAUSED, 4)
    assert not Entry.objects.filter(execution=run, type=EntryType.COMPACTION).exists()
    if take_up == "extended":
        actions.extend(run, turns=5, by=SYSTEM)
    else:
        run = actions.fork(run, checkpoint=4, by=SYSTEM, text="Go on.")
        actions.extend(run, turns=5, by=SYSTEM)
    server.plan(Answer("It was all x."), Answer("All x."))
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "All x.")
    assert Entry.objects.filter(execution=run, type=EntryType.COMPACTION).count() == 1


def test_nobody_is_shown_what_was_noted_of_the_tokens(
    api: APIClient, organization: Organization, server: ModelServer
) -> None:
    run = begun(served(server, organization, "openai"))
    server.plan(Answer("All x.", input_tokens=10))
    drive(run)
    assert load(run)[0].characters_a_token != 4
    shown = api.get(f"/api/v0/executions/agents/{run.id}/entries").json()["results"]
    assert [list(entry["content"]) for entry in shown] == [["text"], ["text"]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_summary_may_be_longer_than_a_reply(
    organization: Organization, server: ModelServer, provider: str
) -> None:
    own = {"context_tokens": 6000, "max_tokens": 1500, "thinking": "high", "temperature": 0.5}
    run = begun(served(server, organization, provider, **own))
    server.plan(LOOK, LOOK, LOOK, LOOK, Answer("It was all x."), Answer("All x."))
    drive(run)
    assert run.output == "All x.", run.failure_message
    reply, summary = server.requests[3].body, server.requests[4].body
    assert most_tokens(reply) == 1500
    # Anthropic's must be told a maximum: the model's own, or what the library takes for it.
    assert most_tokens(summary) == (16_384 if provider == "anthropic" else None)
    assert not {"thinking", "reasoning", "reasoning_effort"} & set(summary)


def most_tokens(body: dict[str, Any]) -> int | None:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return next((body[name] for name in names if name in body), None)


def test_a_length_that_the_model_refuses_is_made_shorter(
    organization: Organization, server: ModelServer
) -> None:
    refused = {"message": "too long", "code": "context_length_exceeded", "type": "invalid"}
    run = begun(served(server, organization, "openai"))
    looks = [LOOK] * 12
    server.plan(
        *looks, Answer(status=400, error=refused), Answer("It was all x."), Answer("All x.")
    )
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "All x.", 13)
    assert Entry.objects.filter(execution=run, type=EntryType.COMPACTION).count() == 1


def test_a_length_that_cannot_be_made_shorter_fails_with_its_own_code(
    organization: Organization, server: ModelServer
) -> None:
    refused = {"message": "too long", "code": "context_length_exceeded", "type": "invalid"}
    run = begun(served(server, organization, "openai"))
    server.plan(Answer(status=400, error=refused), Answer(status=400, error=refused))
    drive(run)
    assert (run.status, run.failure_code) == (Status.FAILED, "CONTEXT_TOO_LONG")


def test_a_summary_is_kept_once_wherever_its_worker_dies(
    organization: Organization, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the commit it is asked for again; after it, never."""
    run = begun(served(server, organization, "openai", context_tokens=6000))
    answers = [LOOK, LOOK, LOOK, LOOK, Answer("Lost."), Answer("It was all x."), Answer("All x.")]
    server.plan(*answers)
    commit = claims.commit

    def dies(claim: Any, batch: Any, **more: Any) -> Any:
        if any(entry["type"] == EntryType.COMPACTION for entry in batch.entries):
            monkeypatch.setattr(claims, "commit", commit)
            raise KeyboardInterrupt
        return commit(claim, batch, **more)

    monkeypatch.setattr(claims, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        drive(run)
    lose_the_worker_of(run)
    drive(run)
    assert run.output == "All x."
    (summary,) = Entry.objects.filter(execution=run, type=EntryType.COMPACTION)
    assert summary.content["text"] == "It was all x."


def lose_the_worker_of(run: Execution) -> None:
    Execution.objects.filter(pk=run.pk).update(
        lease_expires_at=F("lease_expires_at") - timedelta(hours=1)
    )
    sweep()
