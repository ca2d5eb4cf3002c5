"""How busy a board is, who waits for a place on it, and that their places move up as work ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from agents.actions import pause_agent
from agents.activity import SYSTEM
from agents.models import Agent, Organization, Role
from agents.redis import client as redis
from boards.actions import pause_board
from boards.models import Board
from executions import actions, stream
from executions.configuration import Wish
from executions.models import Execution
from tests.executions.asking import conforms, refused
from tests.executions.carrying import claimed, complete
from tests.factories import (
    client_of,
    counted_queries,
    make_board,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(organization: Organization) -> Board:
    return make_board(organization, max_concurrent=2, max_queue=20)


@pytest.fixture
def worker(board: Board) -> Agent:
    agent = make_seat(board)
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=None)
    return agent


def of(board: Board, what: str) -> str:
    return f"/api/v0/boards/{board.id}/{what}"


def runs_of(worker: Agent, count: int, **wish: Any) -> list[Execution]:
    board = worker.seat.board
    tasks = [make_task(board) for _ in range(count)]
    return [actions.start(worker, Wish(prompt="x", task=task, **wish), by=SYSTEM) for task in tasks]


def ended_after(worker: Agent, *seconds: int) -> None:
    """Runs of the board that took so long."""
    for lasted in seconds:
        (run,) = runs_of(worker, 1)
        complete(run)
        began = timezone.now() - timedelta(seconds=lasted)
        Execution.objects.filter(pk=run.pk).update(started_at=began, finished_at=timezone.now())


def line(api: APIClient, board: Board) -> list[tuple[str, int, int | None, str | None]]:
    names = ("exec_id", "position", "estimated_wait_seconds", "blocked_by")
    rows = api.get(of(board, "queue")).json()["results"]
    return [tuple(row[name] for name in names) for row in rows]  # type: ignore[misc]


# --- capacity ----------------------------------------------------------------------------------


def test_a_board_says_what_has_its_places(api: APIClient, worker: Agent, board: Board) -> None:
    answer = api.get(of(board, "capacity")).json()
    assert (answer["limit"], answer["held"], answer["free"]) == (2, 0, 2)
    first, second, _ = runs_of(worker, 3)
    claimed(first)
    admitted_at = timezone.now() - timedelta(seconds=90)
    Execution.objects.filter(pk=first.pk).update(admitted_at=admitted_at)
    answer = api.get(of(board, "capacity")).json()
    counts = ("held", "free", "queued", "max_queue", "is_paused")
    assert [answer[name] for name in counts] == [2, 0, 1, 20, False]
    holders = answer["holders"]
    assert [each["exec_id"] for each in holders] == [str(first.id), str(second.id)]
    assert [each["status"] for each in holders] == ["running", "queued"]
    assert (holders[0]["agent"], holders[0]["task"]) == (str(worker.id), str(first.task_id))
    assert 90 <= holders[0]["age_seconds"] < 120
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "Capacity", answer)


def test_a_lowered_limit_leaves_none_free_and_none_has_no_end(
    api: APIClient, worker: Agent, board: Board
) -> None:
    runs_of(worker, 2)
    Board.objects.update(max_concurrent=1)
    assert api.get(of(board, "capacity")).json()["free"] == 0
    Board.objects.update(max_concurrent=None)
    answer = api.get(of(board, "capacity")).json()
    assert (answer["limit"], answer["free"], answer["max_queue"]) == (None, None, None)


def test_an_organization_says_it_of_all_its_boards(
    api: APIClient, organization: Organization, worker: Agent
) -> None:
    Organization.objects.update(max_concurrent=5)
    runs_of(worker, 3)
    other = make_seat(make_board(organization))
    runs_of(other, 1)
    answer = api.get(f"/api/v0/organizations/{organization.id}/capacity").json()
    assert (answer["limit"], answer["held"], answer["free"]) == (5, 3, 2)
    assert (answer["queued"], answer["max_queue"], len(answer["holders"])) == (1, None, 3)
    elsewhere = make_organization()
    assert api.get(f"/api/v0/organizations/{elsewhere.id}/capacity").status_code == 404


def test_a_board_of_others_is_not_there(organization: Organization) -> None:
    foreign = make_board(make_organization())
    viewer = client_of(organization, Role.VIEWER)
    for what in ("capacity", "queue"):
        refused(viewer.get(of(foreign, what)), 404, "BOARD_NOT_FOUND")
        assert viewer.get(of(make_board(organization), what)).status_code == 200


# --- the queue ---------------------------------------------------------------------------------


def test_the_queue_shows_places_waits_and_what_is_in_the_way(
    api: APIClient, worker: Agent, board: Board
) -> None:
    ended_after(worker, 10, 40, 1000)
    runs = runs_of(worker, 4)
    (urgent,) = runs_of(worker, 1, priority=1)
    assert line(api, board) == [
        (str(urgent.id), 1, 20, "board"),
        (str(runs[2].id), 2, 40, "board"),
        (str(runs[3].id), 3, 60, "board"),
    ]
    shown = api.get(of(board, "queue")).json()["results"][0]
    assert (shown["agent"], shown["task_title"]) == (str(worker.id), urgent.task.title)
    assert (shown["priority"], shown["task"]) == (1, str(urgent.task_id))
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "Queued", shown)
    document = api.get(f"/api/v0/executions/agents/{urgent.id}").json()
    assert document["queue"] == {
        "position": 1,
        "estimated_wait_seconds": 20,
        "blocked_by": "board",
    }


def test_places_go_on_from_page_to_page(api: APIClient, worker: Agent, board: Board) -> None:
    runs = runs_of(worker, 9)
    # Those of one moment stand by their ids.
    Execution.objects.filter(pk__in=[run.pk for run in runs[3:7]]).update(rank=runs[3].rank)
    found: list[tuple[str, int]] = []
    page = api.get(of(board, "queue") + "?limit=3").json()
    while True:
        found += [(row["exec_id"], row["position"]) for row in page["results"]]
        if page["next"] is None:
            break
        page = api.get(page["next"]).json()
    assert found == [(str(run.id), place) for place, run in enumerate(runs[2:], 1)]


def test_what_is_paused_has_no_wait(api: APIClient, worker: Agent, board: Board) -> None:
    pause_agent(worker, by=SYSTEM)
    runs_of(worker, 1)
    assert line(api, board)[0][1:] == (1, None, "agent_paused")
    pause_board(board, by=SYSTEM)
    runs_of(make_seat(board), 1)
    assert line(api, board)[1][1:] == (2, None, "board_paused")


def test_it_costs_the_same_however_long_it_is(api: APIClient, worker: Agent, board: Board) -> None:
    costs = []
    for count in (4, 14):
        runs_of(worker, count)
        for what in ("queue", "capacity"):
            api.get(of(board, what))  # The key's last use is noted once a minute.
            with counted_queries() as asked:
                assert api.get(of(board, what)).status_code == 200
            costs.append(len(asked))
    assert costs[:2] == costs[2:]


def test_a_walk_that_looks_past_a_full_board_leaves_no_start_without_a_reason(
    api: APIClient, worker: Agent, board: Board
) -> None:
    Board.objects.update(max_queue=60)
    worker.seat.board.refresh_from_db()
    runs_of(worker, 40)
    assert {row[3] for row in line(api, board)} == {"board"}


# --- places move up ----------------------------------------------------------------------------


def test_who_watches_is_shown_its_new_place(worker: Agent, board: Board) -> None:
    first, _, third, fourth = runs_of(worker, 4)
    listening = redis().pubsub(ignore_subscribe_messages=True)
    listening.subscribe(stream.channel(fourth.id))
    listening.get_message(timeout=1)
    complete(first)
    heard = []
    while message := listening.get_message(timeout=1):
        heard.append(json.loads(message["data"]))
    listening.close()
    third.refresh_from_db()
    assert third.admitted_epoch is not None
    (piece,) = [each for each in heard if each.get("kind") == "task.queue_position"]
    assert (piece["data"]["position"], piece["data"]["blocked_by"]) == (1, "board")
    assert piece["data"]["estimated_wait_seconds"] >= 0


def test_places_and_waits_shrink_as_work_ends(api: APIClient, worker: Agent, board: Board) -> None:
    ended_after(worker, 60)
    runs = runs_of(worker, 5)
    assert [row[1:3] for row in line(api, board)] == [(1, 30), (2, 60), (3, 90)]
    for left, run in zip((2, 1, 0), runs, strict=False):
        run.refresh_from_db()
        complete(run)
        Execution.objects.filter(pk=run.pk).update(
            started_at=timezone.now() - timedelta(seconds=60), finished_at=timezone.now()
        )
        assert [row[1:3] for row in line(api, board)] == [(1, 30), (2, 60), (3, 90)][:left]
