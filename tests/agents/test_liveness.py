"""Agents that fall silent are told of once, until they give a sign of life."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from agents.actions import pause_agent, unpause_agent
from agents.activity import SYSTEM, Target, record
from agents.liveness import note_offline, note_silent
from agents.models import Activity, Agent, Message
from boards.actions.nudges import nudge
from executions.engine.sweep import sweep
from tests.boards.agents import AGENT, with_token
from tests.factories import (
    all_at_once,
    counted_queries,
    make_agent,
    make_live_work,
    make_organization,
)

pytestmark = pytest.mark.django_db
ELEVEN_MINUTES = timedelta(minutes=11)


@pytest.fixture
def agent() -> Agent:
    return make_agent(make_organization(), kind="external", name="Olga")


def lines(event: str) -> int:
    return Activity.objects.filter(type=event).count()


def alerts() -> list[Message]:
    return list(Message.objects.filter(kind="alert"))


def see(agent: Agent, *, before: timedelta = timedelta()) -> None:
    Agent.objects.filter(pk=agent.pk).update(last_seen_at=timezone.now() - before)


def nudge_again(agent: Agent, times: int = 1) -> None:
    """Nudge it so often, and let an hour pass each time."""
    for _ in range(times):
        nudge(agent, "Go on.", board_id=None, by=SYSTEM)
        let_pass(agent, timedelta(hours=1))


def let_pass(agent: Agent, time: timedelta) -> None:
    Agent.objects.filter(pk=agent.pk).update(
        last_nudged_at=F("last_nudged_at") - time, last_seen_at=F("last_seen_at") - time
    )


def test_who_goes_offline_is_told_of_once(agent: Agent) -> None:
    see(agent, before=timedelta(minutes=9))
    assert note_offline() == 0
    see(agent, before=ELEVEN_MINUTES)
    assert [note_offline(), note_offline()] == [1, 0]
    line = Activity.objects.get(type="agent.offline")
    assert (line.agent_id, line.actor_kind) == (agent.pk, "system")
    see(agent)
    assert note_offline() == 0
    see(agent, before=ELEVEN_MINUTES - timedelta(seconds=1))
    assert note_offline() == 1
    assert lines("agent.offline") == 2


def test_who_was_never_seen_is_paused_or_run_by_signalbox_does_not_go_offline(agent: Agent) -> None:
    ours = make_agent(agent.organization)
    see(ours, before=ELEVEN_MINUTES)
    assert note_offline() == 0
    see(agent, before=ELEVEN_MINUTES)
    pause_agent(agent, by=SYSTEM)
    assert note_offline() == 0
    unpause_agent(agent, by=SYSTEM)
    assert note_offline() == 1


def test_a_heartbeat_is_a_sign_and_being_told_something_is_none(agent: Agent) -> None:
    nudge_again(agent, 2)
    agent.refresh_from_db()
    assert agent.unanswered_nudges == 2
    assert with_token(agent).post(f"{AGENT}/heartbeat").status_code == 200
    nudge_again(agent)
    agent.refresh_from_db()
    assert agent.unanswered_nudges == 1


def test_people_are_alerted_once_of_who_was_nudged_three_times_in_vain(agent: Agent) -> None:
    see(agent, before=timedelta(days=1))
    nudge_again(agent, 2)
    assert note_silent() == 0
    nudge_again(agent)
    assert [note_silent(), note_silent()] == [1, 0]
    nudge_again(agent, 4)
    assert note_silent() == 0

    assert lines("agent.silent") == 1
    (alert,) = alerts()
    assert (alert.audience, alert.data["agent_id"]) == ("people", str(agent.pk))
    assert "Olga was nudged 3 times without a sign of life. It was last seen at" in alert.content


def test_after_a_sign_of_life_people_are_alerted_anew(agent: Agent) -> None:
    nudge_again(agent, 3)
    assert note_silent() == 1
    see(agent)
    nudge_again(agent, 2)
    assert note_silent() == 0
    nudge_again(agent)
    assert note_silent() == 1
    assert [lines("agent.silent"), len(alerts())] == [2, 2]


def test_who_gave_a_sign_just_before_is_not_told_of(agent: Agent) -> None:
    nudge_again(agent, 3)
    see(agent)
    assert note_silent() == 0


def test_who_is_online_or_had_no_time_to_answer_is_not_told_of(agent: Agent) -> None:
    """What an agent does right after it was seen is not noted."""
    see(agent)
    for _ in range(3):
        nudge(agent, "Go on.", board_id=None, by=SYSTEM)
    assert note_silent() == 0
    let_pass(agent, timedelta(minutes=9))
    assert note_silent() == 0
    see(agent, before=timedelta(days=1))
    assert note_silent() == 0
    let_pass(agent, timedelta(minutes=2))
    assert note_silent() == 1


def test_of_agents_that_signalbox_runs_nobody_is_alerted() -> None:
    """With nothing to do they cannot give a sign."""
    nudge_again(make_agent(make_organization()), 4)
    assert note_silent() == 0


def test_of_agents_that_signalbox_runs_work_is_the_sign() -> None:
    agent = make_agent(make_organization())
    nudge_again(agent, 2)
    live = make_live_work(agent)
    nudge_again(agent)
    live.delete()
    nudge_again(agent)
    agent.refresh_from_db()
    assert agent.unanswered_nudges == 2
    about = Target(agent_id=agent.pk)
    record(agent.organization_id, "execution.queued", by=SYSTEM, target=about)
    nudge_again(agent)
    record(agent.organization_id, "execution.started", by=SYSTEM, target=about)
    nudge_again(agent)
    agent.refresh_from_db()
    assert agent.unanswered_nudges == 1


def test_the_sweep_does_it(agent: Agent) -> None:
    nudge_again(agent, 3)
    see(agent, before=timedelta(days=1))
    found = sweep()
    assert (found["note_offline"], found["note_silent"]) == (1, 1)


def test_many_are_told_of_in_as_many_queries_as_one(agent: Agent) -> None:
    costs = []
    for count in (5, 50):
        agents = [make_agent(agent.organization, kind="external") for _ in range(count)]
        for each in agents:
            nudge_again(each, 3)
            see(each, before=timedelta(days=1))
        with counted_queries() as queries:
            assert [note_offline(), note_silent()] == [count, count]
        costs.append(len(queries))
    assert costs[0] == costs[1]


@pytest.mark.django_db(transaction=True)
def test_of_many_who_look_at_once_one_tells(agent: Agent) -> None:
    for number in range(1, 6):
        see(agent)
        nudge_again(agent, 3)
        see(agent, before=timedelta(days=1))
        Agent.objects.filter(pk=agent.pk).update(offline_since=None)
        assert sum(all_at_once(*[note_silent] * 5)) == 1
        assert sum(all_at_once(*[note_offline] * 5)) == 1
        assert [lines("agent.silent"), lines("agent.offline"), len(alerts())] == [number] * 3
