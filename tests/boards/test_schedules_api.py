"""Operators read schedules and run them; administrators write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

from agents.actions import delete_agent
from agents.activity import SYSTEM
from agents.clock import clock
from agents.models import Activity, Agent, Role
from boards.actions import delete_board
from boards.actions.schedules import MOST_AGENTS, change_schedule
from boards.models import Board, NudgeSchedule
from boards.models.schedule import LONGEST_MESSAGE, LONGEST_MINUTES
from tests.boards.nudging import make_schedule, nudges_of, without_defaults
from tests.factories import (
    API,
    client_of,
    counted_queries,
    make_agent,
    make_board,
    make_organization,
    make_seat,
)

pytestmark = pytest.mark.django_db
PLACE = f"{API}/schedules"


@pytest.fixture
def board() -> Board:
    return make_board(make_organization())


@pytest.fixture
def agent(board: Board) -> Agent:
    return make_seat(board)


@pytest.fixture
def client(board: Board) -> APIClient:
    return client_of(board.organization, Role.ADMIN)


def body(where: Board | None, **fields: Any) -> dict[str, Any]:
    """A valid one, of no board where none is given; of fields given as `...` nothing is said."""
    given = {
        "name": "Good morning",
        "board": str(where.pk) if where else None,
        "crontab": "0 9 * * MON-FRI",
        "time_zone": "Europe/Berlin",
        "condition": "idle_with_inbox",
        "message": "There is work for you.",
        **fields,
    }
    return {name: value for name, value in given.items() if value != ...}


def problems(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.content
    return {error["field"] for error in answer.json()["errors"]}


def test_a_board_begins_with_two_schedules_that_can_be_changed(
    client: APIClient, board: Board
) -> None:
    found = client.get(PLACE, {"board": board.pk}).json()["results"]
    assert {each["condition"] for each in found} == {"idle_with_inbox", "silent_in_progress"}
    assert all(each["is_enabled"] and each["next_run_at"] for each in found)
    for each in found:
        changed = client.patch(f"{PLACE}/{each['id']}", {"is_enabled": False})
        assert (changed.status_code, changed.json()["next_run_at"]) == (200, None)


def test_a_schedule_is_made_read_changed_and_deleted(client: APIClient, board: Board) -> None:
    made = client.post(PLACE, body(board))
    assert made.status_code == 201, made.content
    told = made.json()
    assert (told["cool_down_minutes"], told["minutes"], told["agents"]) == (60, None, [])
    assert told["next_run_at"] > clock().isoformat()[:19]

    where = made.headers["Location"]
    read = client.get(where)
    changed = client.patch(
        where,
        {"crontab": "", "interval_minutes": 15},
        headers={"If-Match": read.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.content
    row = NudgeSchedule.objects.get(pk=told["id"])
    assert row.next_run_at is not None
    assert abs(row.next_run_at - clock() - timedelta(minutes=15)) < timedelta(minutes=1)
    assert client.patch(where, {"name": "x"}, headers={"If-Match": '"old"'}).status_code == 412
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 404
    types = Activity.objects.filter(type__startswith="schedule.").order_by("id")
    assert [line.type for line in types] == [
        "schedule.created",
        "schedule.updated",
        "schedule.deleted",
    ]


def test_a_change_of_words_leaves_the_time_as_it_is(client: APIClient, board: Board) -> None:
    schedule = make_schedule(board)
    before = schedule.next_run_at
    told = client.patch(f"{PLACE}/{schedule.pk}", {"message": "Wake up.", "minutes": None}).json()
    schedule.refresh_from_db()
    assert (told["message"], schedule.next_run_at) == ("Wake up.", before)


def test_it_names_a_board_or_agents(client: APIClient, board: Board, agent: Agent) -> None:
    both, neither = body(board, agents=[agent.pk]), body(None)
    assert problems(client.post(PLACE, both)) == problems(client.post(PLACE, neither)) == {"agents"}
    made = client.post(PLACE, body(None, agents=[agent.pk]))
    assert made.json()["agents"] == [str(agent.pk)]
    where = made.headers["Location"]
    assert problems(client.patch(where, {"board": str(board.pk)})) == {"agents"}
    assert problems(client.patch(where, {"agents": []})) == {"agents"}
    moved = client.patch(where, {"board": str(board.pk), "agents": []})
    assert (moved.json()["board"], moved.json()["agents"]) == (str(board.pk), [])


def test_one_whose_agents_are_gone_is_switched_off_but_not_on(
    client: APIClient, board: Board, agent: Agent
) -> None:
    schedule = make_schedule(board.organization, agents=[agent.pk])
    delete_agent(agent, by=SYSTEM)
    where = f"{PLACE}/{schedule.pk}"
    assert client.patch(where, {"name": "Of nobody"}).status_code == 200
    assert client.patch(where, {"is_enabled": False}).json()["next_run_at"] is None
    assert problems(client.patch(where, {"is_enabled": True})) == {"agents"}


def test_one_whose_zone_is_gone_is_switched_off_but_not_on(client: APIClient, board: Board) -> None:
    schedule = make_schedule(board, crontab="0 9 * * *")
    NudgeSchedule.objects.filter(pk=schedule.pk).update(time_zone="US/Gone")
    where = f"{PLACE}/{schedule.pk}"
    assert problems(client.patch(where, {"crontab": "0 8 * * *"})) == {"time_zone"}
    assert client.patch(where, {"is_enabled": False}).json()["next_run_at"] is None
    assert problems(client.patch(where, {"is_enabled": True})) == {"time_zone"}
    again = client.patch(where, {"is_enabled": True, "time_zone": "UTC"})
    assert again.json()["next_run_at"] is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cool_down_minutes", LONGEST_MINUTES + 1),
        ("cool_down_minutes", -1),
        ("message", "x" * (LONGEST_MESSAGE + 1)),
    ],
)
def test_bounds_hold_for_whoever_writes(
    client: APIClient, board: Board, field: str, value: Any
) -> None:
    assert problems(client.post(PLACE, body(board, **{field: value}))) == {field}
    schedule = make_schedule(board, cool_down_minutes=LONGEST_MINUTES, message="x")
    with pytest.raises(ValidationError) as refused:
        make_schedule(board, **{field: value})
    with pytest.raises(ValidationError) as refused_too:
        change_schedule(schedule, {field: value}, by=SYSTEM)
    assert set(refused.value.message_dict) == set(refused_too.value.message_dict) == {field}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"crontab": "0 9 * *"}, {"crontab"}),
        ({"crontab": "0 0 30 2 *"}, {"crontab"}),
        ({"crontab": ...}, {"interval_minutes"}),
        ({"interval_minutes": 5}, {"interval_minutes"}),
        ({"crontab": ..., "interval_minutes": 0}, {"interval_minutes"}),
        ({"time_zone": "Berlin"}, {"time_zone"}),
        ({"minutes": 5}, {"minutes"}),
        ({"condition": "silent_in_progress"}, {"minutes"}),
        ({"condition": "silent_in_progress", "minutes": 0}, {"minutes"}),
        ({"condition": "now and then"}, {"condition"}),
        ({"cool_down_minutes": -1}, {"cool_down_minutes"}),
        ({"message": ""}, {"message"}),
        ({"name": ...}, {"name"}),
        ({"owls": 1}, {"owls"}),
        ({"crontab": "x", "time_zone": "y"}, {"crontab", "time_zone"}),
    ],
)
def test_what_is_wrong_is_named(
    client: APIClient, board: Board, fields: dict[str, Any], wrong: set[str]
) -> None:
    assert problems(client.post(PLACE, body(board, **fields))) == wrong


def test_boards_and_agents_of_others_are_not_there(client: APIClient, board: Board) -> None:
    others = make_board(make_organization())
    stranger = make_agent(others.organization)
    assert problems(client.post(PLACE, body(others))) == {"board"}
    answer = client.post(PLACE, body(None, agents=[stranger.pk]))
    assert (answer.status_code, answer.json()["code"]) == (404, "AGENT_NOT_FOUND")
    assert answer.json()["unknown_agent_ids"] == [str(stranger.pk)]
    where = f"{PLACE}/{make_schedule(board).pk}"
    assert problems(client.patch(where, {"board": str(others.pk)})) == {"board"}
    assert client.patch(where, {"agents": [stranger.pk]}).status_code == 404
    theirs = make_schedule(others)
    for answer in (
        client.get(f"{PLACE}/{theirs.pk}"),
        client.patch(f"{PLACE}/{theirs.pk}", {"name": "x"}),
        client.post(f"{PLACE}/{theirs.pk}/run"),
        client.get(f"{PLACE}/{theirs.pk}/occurrences"),
    ):
        assert answer.status_code == 404


def test_too_many_agents_are_refused(client: APIClient, board: Board, agent: Agent) -> None:
    many = body(None, agents=[str(agent.pk)] * (MOST_AGENTS + 1))
    assert problems(client.post(PLACE, many)) == {"agents"}


def test_the_list_is_filtered(client: APIClient, board: Board) -> None:
    without_defaults(board)
    on, off = make_schedule(board), make_schedule(board, is_enabled=False)
    elsewhere = make_schedule(without_defaults(make_board(board.organization)))

    def found(**query: Any) -> set[str]:
        return {each["id"] for each in client.get(PLACE, query).json()["results"]}

    assert found(board=board.pk) == {str(on.pk), str(off.pk)}
    assert found(is_enabled="true") == {str(on.pk), str(elsewhere.pk)}
    assert client.get(PLACE, {"owls": 1}).status_code == 400


def test_run_by_hand_it_leaves_its_time_as_it_is(
    board: Board, client: APIClient, agent: Agent
) -> None:
    schedule = make_schedule(board, is_enabled=False)
    made = client_of(board.organization, Role.OPERATOR).post(f"{PLACE}/{schedule.pk}/run")

    assert made.status_code == 201, made.content
    assert made.json()["nudged"] == 1
    assert made.json()["finished_at"] is not None
    schedule.refresh_from_db()
    assert schedule.next_run_at is None
    assert schedule.last_run_at is not None
    again = client.post(f"{PLACE}/{schedule.pk}/run").json()
    assert again["nudged"] == 0
    assert nudges_of(agent) == [1]
    page = client.get(f"{PLACE}/{schedule.pk}/occurrences", {"limit": 1}).json()
    assert [each["id"] for each in page["results"]] == [again["id"]]
    assert page["next"]
    assert Activity.objects.filter(type="schedule.run").count() == 2


def test_a_board_takes_its_schedules_along(board: Board) -> None:
    make_schedule(board)
    delete_board(board, by=SYSTEM)
    assert not NudgeSchedule.objects.exists()


def test_the_runs_cost_the_same_however_many_they_are(board: Board, client: APIClient) -> None:
    schedule, costs = make_schedule(board), []
    for _ in range(2):
        for _ in range(10):
            now = clock()
            schedule.occurrences.create(due_at=now, started_at=now)
        with counted_queries() as queries:
            client.get(f"{PLACE}/{schedule.pk}/occurrences?limit=200")
        costs.append(len(queries))
    assert costs[1] <= costs[0]
