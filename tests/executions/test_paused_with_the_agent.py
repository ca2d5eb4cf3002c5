"""A run stands still while its agent is paused, says so, and goes on with it."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from agents.actions import pause_agent, unpause_agent
from agents.activity import SYSTEM
from agents.models import Agent
from executions import actions
from executions.engine import ends
from executions.engine.claim import Batch
from executions.engine.sweep import sweep
from executions.models import Event, Execution, PauseReason, Status
from tests.executions.carrying import claimed, drive
from tests.processes import wait_until, worker
from tests.starting import a_run, an_agent, tool

pytestmark = pytest.mark.django_db(transaction=True)


def paused_with_it(agent: Agent) -> Execution:
    run = a_run(agent, {"say": "x"})
    claim = claimed(run)
    pause_agent(agent, by=SYSTEM)
    ends.pause(claim, Batch(), PauseReason.AGENT)
    run.refresh_from_db()
    return run


def after_the_sweep(run: Execution) -> Execution:
    sweep()
    run.refresh_from_db()
    return run


def test_a_run_pauses_and_goes_on_with_its_agent() -> None:
    agent = an_agent()
    run = a_run(agent, tool("Bash", command="sleep 2"), {"say": "done"})
    with worker():
        wait_until(lambda: run.tool_calls.filter(status="running").exists())
        pause_agent(agent, by=SYSTEM)
        wait_until(lambda: Execution.objects.filter(pk=run.pk, status=Status.PAUSED).exists())
        run.refresh_from_db()
        assert run.pause_reason == PauseReason.AGENT
        paused = Event.objects.get(execution=run, type="execution.paused")
        assert paused.data == {"reason": "agent"}
        unpause_agent(agent, by=SYSTEM)
        wait_until(lambda: Execution.objects.filter(pk=run.pk, status=Status.COMPLETED).exists())


def test_one_that_was_admitted_before_the_pause_asks_no_model() -> None:
    agent = an_agent()
    run = a_run(agent, {"say": "x"})
    pause_agent(agent, by=SYSTEM)
    drive(run)
    assert (run.status, run.pause_reason, run.turn) == (Status.PAUSED, PauseReason.AGENT, 0)


def test_it_stays_while_the_agent_does_and_is_queued_when_the_agent_goes_on() -> None:
    agent = an_agent()
    run = paused_with_it(agent)
    assert after_the_sweep(run).status == Status.PAUSED
    unpause_agent(agent, by=SYSTEM)
    assert after_the_sweep(run).status == Status.QUEUED


def test_one_that_an_operator_paused_does_not_go_on_with_the_agent(
    api: APIClient, agent: Agent
) -> None:
    run = a_run(agent, {"say": "x"})
    actions.pause(run, by=SYSTEM)
    with_it = paused_with_it(agent)
    answer = api.post(f"/api/v0/executions/agents/{with_it.id}/pause")
    assert answer.json()["pause_reason"] == "operator"
    unpause_agent(agent, by=SYSTEM)
    assert {after_the_sweep(one).status for one in (run, with_it)} == {Status.PAUSED}


def test_a_pause_that_an_operator_asks_for_as_the_agent_pauses_it_is_not_lost() -> None:
    run = a_run(an_agent(), {"say": "x"})
    claim = claimed(run)
    actions.pause(run, by=SYSTEM)
    ends.pause(claim, Batch(), PauseReason.AGENT)
    run.refresh_from_db()
    assert run.pause_reason == PauseReason.OPERATOR
