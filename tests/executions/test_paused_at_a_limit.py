"""An execution that is paused at its turn limit or budget is extended, or finished as it is."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Activity, Agent, LiveWork, Organization
from executions import actions
from executions.configuration import Wish
from executions.engine import ends
from executions.engine.claim import Batch
from executions.limits import spent_of
from executions.models import AT_A_LIMIT, Entry, Event, Execution, PauseReason, Status
from tests.executions.asking import refused
from tests.executions.carrying import claimed, complete, drive, fail, sleep
from tests.starting import an_agent, script, tool

pytestmark = pytest.mark.django_db(transaction=True)

LOOK = {**tool("Glob", pattern="*"), "say": "I look."}
BUDGETS: dict[str, dict[str, int]] = {
    "turns": {"max_turns": 2},
    "tokens": {"token_budget": 1},
    "seconds": {"seconds_budget": 1},
}
REASONS = {"turns": "turn_limit", "tokens": "budget", "seconds": "budget"}


def of(run: Execution, control: str) -> str:
    return f"/api/v0/executions/agents/{run.id}/{control}"


def at_its_limit(organization: Organization, limit: str) -> Execution:
    """A run that a worker carried on until this limit stopped it."""
    agent = an_agent(organization, **BUDGETS[limit])
    run = actions.start(agent, Wish(prompt=script(LOOK, LOOK, {"say": "done"})), by=SYSTEM)
    if limit == "seconds":
        Execution.objects.filter(pk=run.pk).update(usage={"seconds": 1.0})
    drive(run)
    assert (run.status, run.pause_reason) == (Status.PAUSED, REASONS[limit])
    return run


# --- extended ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", BUDGETS)
def test_more_of_what_it_lacks_lets_it_come_to_its_end(
    api: APIClient, organization: Organization, limit: str
) -> None:
    run = at_its_limit(organization, limit)
    assert api.post(of(run, "extend"), {limit: 500}).json()["status"] == "queued"
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "done")
    line = Activity.objects.get(execution_id=run.id, type="execution.extended")
    assert line.data == {"status": "paused", limit: 500}


@pytest.mark.parametrize("limit", BUDGETS)
def test_more_of_something_else_leaves_it_paused(
    api: APIClient, organization: Organization, limit: str
) -> None:
    run = at_its_limit(organization, limit)
    others = {name: 5 for name in BUDGETS if name != limit}
    answer = api.post(of(run, "extend"), others).json()
    assert (answer["status"], answer["pause_reason"]) == ("paused", REASONS[limit])


def test_of_what_has_no_limit_there_is_enough(api: APIClient, agent: Agent) -> None:
    run = actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)
    answer = api.post(of(run, "extend"), {"tokens": 5, "seconds": 5}).json()
    assert (answer["token_budget"], answer["seconds_budget"]) == (None, None)


@pytest.mark.parametrize("limit", BUDGETS)
def test_a_limit_that_is_extended_as_it_is_reached_does_not_stop_it(limit: str) -> None:
    """The worker has decided to stop; the extension is committed before it has."""
    run = actions.start(an_agent(**BUDGETS[limit]), Wish(prompt="Do it."), by=SYSTEM)
    claim = claimed(run)
    usage = {"input_tokens": 1, "seconds": 1.0}
    Execution.objects.filter(pk=run.pk).update(turn=2, usage=usage)
    run.refresh_from_db()
    actions.extend(run, by=SYSTEM, **{limit: 5})
    ends.stop_at_limit(claim, Batch(), spent_of(run))
    run.refresh_from_db()
    assert run.status == Status.QUEUED


@pytest.mark.parametrize(
    "body",
    [
        {},
        *({name: value} for name in BUDGETS for value in (0, -1, "1", 1.5, True, None, 10**10)),
        {"turns": 1, "tokens": 0},
    ],
    ids=str,
)
def test_an_extension_is_of_something_and_positive(
    api: APIClient, agent: Agent, body: dict[str, Any]
) -> None:
    run = actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)
    refused(api.post(of(run, "extend"), body), 422, "VALIDATION_FAILED")
    assert not Activity.objects.filter(type="execution.extended").exists()


# --- finished ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", BUDGETS)
def test_it_is_finished_with_the_last_thing_that_it_said(
    api: APIClient, organization: Organization, limit: str
) -> None:
    run = at_its_limit(organization, limit)
    answer = api.post(of(run, "finish"))
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    # Of its seconds it had none left for a first turn.
    assert answer.json()["output"] == ("" if limit == "seconds" else "I look.")
    run.refresh_from_db()
    assert run.finished_at is not None
    last = Event.objects.filter(execution=run).latest("seq")
    assert (last.type, last.seq) == ("execution.completed", run.event_seq)
    line = Activity.objects.get(execution_id=run.id, type="execution.completed")
    assert line.actor_kind != SYSTEM.kind
    assert not LiveWork.objects.filter(execution_id=run.id).exists()
    refused(api.post(of(run, "finish")), 409, "EXECUTION_STATE")


@pytest.mark.parametrize("reason", sorted(set(PauseReason) - set(AT_A_LIMIT)))
def test_one_that_is_paused_for_another_reason_is_not_finished(
    api: APIClient, agent: Agent, reason: PauseReason
) -> None:
    run = actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)
    ends.pause(claimed(run), Batch(), reason)
    problem = refused(api.post(of(run, "finish")), 409, "EXECUTION_STATE")
    assert (problem["execution_status"], problem["pause_reason"]) == ("paused", reason)
    assert problem["allowed_pause_reasons"] == ["budget", "turn_limit"]


@pytest.mark.parametrize(
    "bring", [lambda run: None, claimed, sleep, complete, fail], ids=["queued", *"rwcf"]
)
def test_one_that_is_not_paused_is_not_finished(api: APIClient, agent: Agent, bring: Any) -> None:
    run = actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)
    bring(run)
    before = Execution.objects.get(pk=run.pk)
    problem = refused(api.post(of(run, "finish")), 409, "EXECUTION_STATE")
    assert (problem["execution_status"], problem["allowed"]) == (before.status, ["paused"])
    after = Execution.objects.get(pk=run.pk)
    assert (after.status, after.event_seq) == (before.status, before.event_seq)


# --- warned ------------------------------------------------------------------------------------


def test_it_is_warned_once_of_a_budget_that_is_nearly_used(organization: Organization) -> None:
    said = [{**LOOK, "tokens": count} for count in (10, 850, 20, 20)]
    agent = an_agent(organization, token_budget=5000, max_turns=50)
    run = actions.start(agent, Wish(prompt=script(*said, {"say": "done"})), by=SYSTEM)
    used = {"requests": 1, "input_tokens": 0, "output_tokens": 3500}
    Execution.objects.filter(pk=run.pk).update(usage=used)
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    (told,) = Event.objects.filter(execution=run, type="agent.turn_warning")
    assert (told.data["limit"], told.data["max_turns"]) == ("tokens", 50)
    notes = Entry.objects.filter(execution=run, type="injection")
    assert "of 5000 tokens" in notes.get().content["text"]
