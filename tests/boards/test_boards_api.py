"""Boards over REST: created, configured, paused, deleted."""

import threading

import pytest
from django.db import transaction

from agents.activity import SYSTEM
from agents.live import hold
from agents.models import Activity
from boards.actions import delete_board, delete_task
from boards.errors import StillRunning
from boards.models import Board, Task
from tests.factories import (
    API,
    all_at_once,
    client_of,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    make_task,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def types_about(board_id):
    return list(Activity.objects.filter(board_id=board_id).values_list("type", flat=True))


def test_a_new_board_is_201_with_its_place(client):
    given = {
        "name": "Night Shift",
        "objective": "Quiet nights.",
        "success_metrics": {"owls": 40, "mood": "calm"},
        "target_date": "2027-01-31",
        "block_status_changes_with_pending_approval": True,
        "require_review_before_done": True,
        "require_approval_for_done": False,
        "comment_required_for_review": True,
        "only_lead_can_change_status": True,
        "max_agents": 0,
        "auto_start": True,
        "repository": "https://example.org/owl.git",
        "default_branch": "release/1.x",
        "setup_command": "make ready",
        "copied_files": [".env", "config/local.json"],
        "model": "scripted:echo",
        "tools": ["Read"],
        "max_turns": 20,
        "max_concurrent": None,
        "max_queue": 0,
        "worker_queue": "gpu-1",
    }
    response = client.post(f"{API}/boards", given)
    assert response.status_code == 201, response.content
    board = response.json()
    assert {**given, "slug": "night-shift", "is_paused": False}.items() <= board.items()
    assert response["Location"] == f"{API}/boards/{board['id']}"
    assert client.get(response["Location"]).json() == board
    assert types_about(board["id"]) == ["board.created"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("slug", "a b"),
        ("repository", "--upload-pack=touch /tmp/x"),
        ("repository", "ext::sh -c id"),
        ("repository", "/a\nb"),
        ("default_branch", "-x"),
        ("default_branch", "a..b"),
        ("default_branch", "a b"),
        ("default_branch", "x.lock"),
        ("default_branch", ""),
        ("copied_files", "x"),
        ("copied_files", ["/etc/passwd"]),
        ("copied_files", ["a/../../b"]),
        ("copied_files", ["~/x"]),
        ("copied_files", [".git/config"]),
        ("copied_files", ["."]),
        ("copied_files", [""]),
        ("environment", {"1A": "x"}),
        ("environment", {"A-B": "x"}),
        ("environment", {"A": 1}),
        ("environment", []),
        ("model", "x"),
        ("tools", "x"),
        ("max_turns", 501),
        ("max_agents", -1),
        ("max_agents", 1001),
        ("target_date", "soon"),
        ("auto_start", "perhaps"),
        ("success_metrics", []),
        ("success_metrics", {"a": None}),
        ("success_metrics", {"a": True}),
        ("success_metrics", {"": 1}),
        ("success_metrics", {str(number): 1 for number in range(51)}),
        ("max_concurrent", 0),
        ("max_queue", -1),
        ("worker_queue", "a b"),
        ("worker_queue", ""),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, field, value):
    response = client.post(f"{API}/boards", {"name": "B", field: value})
    assert response.status_code == 422, response.content
    assert {error["field"] for error in response.json()["errors"]} == {field}


def test_an_unknown_tool_is_400(client):
    response = client.post(f"{API}/boards", {"name": "B", "tools": ["Fly"]})
    assert (response.status_code, response.json()["code"]) == (400, "UNKNOWN_TOOL")


def test_values_of_the_environment_go_in_and_never_come_out(client):
    given = {"A": "secret-1", "B": "secret-2"}
    place = client.post(f"{API}/boards", {"name": "B", "environment": given})["Location"]
    change = {"environment": {"B": None, "C": "secret-3"}}
    changed = client.patch(place, change)
    assert changed.status_code == 200
    for answer in (changed, client.get(place), client.get(f"{API}/boards")):
        assert "secret" not in answer.content.decode()
    assert changed.json()["environment_names"] == ["A", "C"]
    assert Board.objects.get().environment == {"A": "secret-1", "C": "secret-3"}
    assert "secret" not in str(list(Activity.objects.values_list("data", flat=True)))


def test_pausing_twice_is_told_once(client, organization):
    board = make_board(organization)
    for _ in range(2):
        assert client.post(f"{API}/boards/{board.id}/pause").json()["is_paused"] is True
    assert client.post(f"{API}/boards/{board.id}/resume").json()["is_paused"] is False
    assert types_about(board.id) == ["board.resumed", "board.paused", "board.created"]


def test_a_slug_is_one_boards_only(client, organization):
    make_board(organization, slug="owls")
    response = client.post(f"{API}/boards", {"name": "x", "slug": "owls"})
    assert (response.status_code, response.json()["code"]) == (409, "BOARD_SLUG_TAKEN")
    assert client.post(f"{API}/boards", {"name": "Owls"}).json()["slug"] == "owls-2"


def test_a_stale_etag_is_412(client, organization):
    place = f"{API}/boards/{make_board(organization).id}"
    etag = client.get(place)["ETag"]
    assert client.patch(place, {"objective": "1"}, HTTP_IF_MATCH=etag).status_code == 200
    assert client.patch(place, {"objective": "2"}, HTTP_IF_MATCH=etag).status_code == 412


@pytest.mark.parametrize("of_task", [False, True])
def test_a_board_with_live_work_is_not_deleted(client, organization, of_task):
    board, agent = make_board(organization), make_agent(organization)
    task = make_task(board)
    live = make_live_work(agent, **({"task": task} if of_task else {"board": board}))
    response = client.delete(f"{API}/boards/{board.id}")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(live.execution_id)
    live.delete()
    assert client.delete(f"{API}/boards/{board.id}").status_code == 204
    assert not Task.objects.exists()
    assert types_about(board.id)[0] == "board.deleted"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["board", "task"])
def test_a_start_that_is_not_yet_committed_is_waited_for_and_seen(what):
    organization = make_organization()
    board, agent = make_board(organization), make_agent(organization)
    task = make_task(board)
    goes, delete = {"board": (board, delete_board), "task": (task, delete_task)}[what]
    started = threading.Event()

    def start():
        with transaction.atomic():
            hold(goes)
            make_live_work(agent, task)
            started.set()
            wait_until(somebody_waits_for_a_lock)

    def remove():
        started.wait()
        delete(goes, by=SYSTEM)

    committed, removed = all_at_once(start, remove)
    assert committed is None
    assert isinstance(removed, StillRunning)
    assert Task.objects.get() == task


def test_the_list_is_filtered(client, organization):
    make_board(organization, name="Owls")
    cats = make_board(organization, name="Cats", description="by night")
    client.post(f"{API}/boards/{cats.id}/pause")

    def names(query):
        return [board["name"] for board in client.get(f"{API}/boards?{query}").json()["results"]]

    assert names("") == ["Cats", "Owls"]
    assert names("is_paused=true") == ["Cats"]
    assert names("search=NIGHT") == ["Cats"]
    assert client.get(f"{API}/boards?colour=red").status_code == 400
