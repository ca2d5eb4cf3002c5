"""A lead removes a worker that is at work: its run is cancelled, and all that it held is free."""

from __future__ import annotations

import pytest

from agents.activity import SYSTEM
from agents.errors import AgentNotFound
from agents.models import Agent, LiveWork
from boards.actions import change_seat, seat_agent, unseat_agent
from executions import actions
from executions.configuration import Wish
from executions.engine import permits
from executions.models import Status, ToolCall
from executions.removal import remove_worker
from tests.boards.agents import World, with_token
from tests.chaos import proof
from tests.processes import ended, wait_until, worker
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_queued_run_of_it_is_cancelled_at_once() -> None:
    world = World()
    task = world.task(assigned_agent=world.worker)
    run = actions.start(world.worker, Wish(prompt="x", board=world.board, task=task), by=SYSTEM)
    answer = with_token(world.lead).delete(f"{world.home}/agents/{world.worker.id}")
    assert answer.json() == {"ok": True}
    run.refresh_from_db()
    assert (run.status, run.agent, run.agent_name) == (Status.CANCELLED, None, "Wim")
    assert not LiveWork.objects.exists()
    assert not Agent.objects.filter(pk=world.worker.pk).exists()


@pytest.mark.parametrize("became", ["lead", "elsewhere"])
def test_who_is_no_worker_of_the_board_any_more_stays(became: str) -> None:
    world = World()
    change_seat(world.lead.seat, "worker", by=SYSTEM)
    if became == "lead":
        change_seat(world.worker.seat, "lead", by=SYSTEM)
    else:
        unseat_agent(world.worker.seat, by=SYSTEM)
        seat_agent(world.other_board, world.worker, by=SYSTEM)
    with pytest.raises(AgentNotFound):
        remove_worker(world.board, world.worker, by=SYSTEM)
    assert Agent.objects.filter(pk=world.worker.pk).exists()


def test_a_running_one_is_ended_in_the_middle_of_its_tool() -> None:
    world = World()
    Agent.objects.filter(pk=world.worker.pk).update(model="scripted:play", tools=["Bash"])
    world.worker.refresh_from_db()
    task = world.task(assigned_agent=world.worker, status="in_progress")
    prompt = script(tool("Bash", command="sleep 60"), {"say": "done"})
    wish = Wish(prompt=prompt, board=world.board, task=task)
    run = actions.start(world.worker, wish, by=SYSTEM)
    with worker():
        wait_until(lambda: ToolCall.objects.filter(execution=run, status="running").exists())
        answer = with_token(world.lead).delete(f"{world.home}/agents/{world.worker.id}")
        assert answer.json() == {"ok": True}
        wait_until(lambda: ended(run))
        wait_until(lambda: not LiveWork.objects.exists())
    run.refresh_from_db()
    assert (run.status, run.agent) == (Status.CANCELLED, None)
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == ("inbox", None)
    # A run that ended after its agent was gone cannot name the agent's set; reconciliation can.
    permits.rebuild()
    proof.assert_no_permit_is_left()
