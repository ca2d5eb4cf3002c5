"""An agent is started on a task, which is its own and in progress then; or refused, and nothing
has changed."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from agents.actions import pause_agent
from agents.activity import SYSTEM
from agents.models import Activity, Agent, LiveWork, Message, Organization, Role
from boards.actions import (
    ApprovalRequest,
    ask_approval,
    change_task,
    delete_task,
    move_task,
    pause_board,
    unseat_agent,
)
from boards.models import Board, Move, Seat, Task, TaskStatus
from executions import actions, briefing
from executions.configuration import Wish
from executions.models import Entry, Event, Execution, Status
from tests.executions.asking import conforms, refused
from tests.executions.carrying import complete, fail
from tests.factories import (
    all_at_once,
    api_client,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(organization: Organization) -> Board:
    return make_board(organization, objective="Greet everybody.")


@pytest.fixture
def worker(board: Board) -> Agent:
    return make_seat(board)


def of_agent(agent: Agent | str) -> str:
    return f"/api/v0/agents/{agent if isinstance(agent, str) else agent.slug}/start"


def of_task(task: Task) -> str:
    return f"/api/v0/boards/{task.board_id}/tasks/{task.id}/start"


def started(answer: Any) -> Execution:
    assert answer.status_code == 202, answer.content
    return Execution.objects.get(pk=answer.json()["exec_id"])


def state(task: Task) -> tuple[str, Any, int, int]:
    """All that a start changes of a task, and beside it."""
    task = Task.objects.get(pk=task.pk)
    moves = Move.objects.filter(task=task).count()
    return (task.status, task.assigned_agent_id, moves, Execution.objects.count())


# --- the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by_task", [False, True])
def test_the_task_becomes_the_agents_and_moves(
    api: APIClient, worker: Agent, board: Board, by_task: bool
) -> None:
    task = make_task(board, title="Correct the greeting", priority=2)
    body = {"agent": worker.slug} if by_task else {"task": str(task.id)}
    answer = api.post(of_task(task) if by_task else of_agent(worker), body)
    run = started(answer)
    assert answer.headers["Location"] == answer.json()["exec_url"]
    assert (run.agent, run.board, run.task, run.priority) == (worker, board, task, 2)
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == (TaskStatus.IN_PROGRESS, worker)
    assert task.started_at is not None
    assert LiveWork.objects.get().task_id == task.id
    moved = Move.objects.get(task=task)
    assert (moved.before, moved.after) == ("inbox", "in_progress")
    kinds = set(Activity.objects.filter(task_id=task.id).values_list("type", flat=True))
    assert {"task.moved", "task.assigned", "execution.queued"} <= kinds
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "Accepted", answer.json())


def test_who_is_started_gets_no_letter_of_it(api: APIClient, worker: Agent, board: Board) -> None:
    started(api.post(of_agent(worker), {"task": str(make_task(board).id)}))
    assert not Message.objects.exists()


def test_a_task_starts_with_who_has_it(api: APIClient, worker: Agent, board: Board) -> None:
    task = make_task(board, assigned_agent=worker)
    assert started(api.post(of_task(task))).agent == worker


def test_a_task_of_nobody_needs_an_agent(api: APIClient, board: Board) -> None:
    task = make_task(board)
    problem = refused(api.post(of_task(task), {}), 422, "VALIDATION_FAILED")
    assert [error["field"] for error in problem["errors"]] == ["agent"]


def test_a_task_in_review_goes_back_to_who_handed_it_in(
    api: APIClient, worker: Agent, board: Board
) -> None:
    lead = make_seat(board, "lead")
    task = make_task(board, assigned_agent=worker, status="in_progress")
    move_task(task, by=SYSTEM, status="review")
    task.refresh_from_db()
    assert task.assigned_agent == lead
    assert started(api.post(of_task(task))).agent == worker
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == ("in_progress", worker)


def test_it_is_another_agents_from_then_on(api: APIClient, worker: Agent, board: Board) -> None:
    task = make_task(board, assigned_agent=make_seat(board))
    started(api.post(of_task(task), {"agent": str(worker.id)}))
    assert Task.objects.get(pk=task.pk).assigned_agent == worker


def test_a_key_starts_it_once(api: APIClient, worker: Agent, board: Board) -> None:
    body, key = {"task": str(make_task(board).id)}, {"Idempotency-Key": "once"}
    first, second = (api.post(of_agent(worker), body, headers=key) for _ in range(2))
    assert first.json()["exec_id"] == second.json()["exec_id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    refused(api.post(of_agent(worker), {}, headers=key), 422, "IDEMPOTENCY_MISMATCH")


def test_every_start_of_a_task_takes_it(api: APIClient, worker: Agent, board: Board) -> None:
    task = make_task(board)
    body = {"prompt": "Do it.", "task": str(task.id)}
    run = started(api.post(f"/api/v0/agents/{worker.slug}/executions/async", body))
    assert state(task)[:2] == ("in_progress", worker.id)
    fail(run)
    move_task(task, by=SYSTEM, status="inbox")
    change_task(task, {"assigned_agent": None}, by=SYSTEM)
    started(api.post(f"/api/v0/executions/agents/{run.id}/retry"))
    assert state(task)[:2] == ("in_progress", worker.id)


def test_a_retry_is_refused_where_a_start_would_be(
    api: APIClient, worker: Agent, board: Board
) -> None:
    run = actions.start(worker, Wish(prompt="x", task=make_task(board)), by=SYSTEM)
    complete(run)
    Task.objects.update(status=TaskStatus.DONE)
    refused(api.post(f"/api/v0/executions/agents/{run.id}/retry"), 409, "TASK_DONE")
    unseat_agent(Seat.objects.get(agent=worker), by=SYSTEM)
    Task.objects.update(status=TaskStatus.IN_PROGRESS)
    refused(api.post(f"/api/v0/executions/agents/{run.id}/retry"), 409, "AGENT_NOT_SEATED")
    assert Execution.objects.count() == 1


# --- refusals ----------------------------------------------------------------------------------


def test_the_refusals_change_nothing(api: APIClient, worker: Agent, board: Board) -> None:
    waits_for = make_task(board)
    blocked = make_task(board, depends_on_task_ids=[waits_for.id])
    done, free = make_task(board), make_task(board)
    Task.objects.filter(pk=done.pk).update(status=TaskStatus.DONE)
    elsewhere = make_seat(make_board(board.organization))
    standing = make_agent(board.organization)
    external = make_seat(board, kind="external")
    cases: list[tuple[Task, Agent, str]] = [
        (blocked, worker, "TASK_BLOCKED"),
        (done, worker, "TASK_DONE"),
        (free, elsewhere, "AGENT_NOT_SEATED"),
        (free, standing, "AGENT_NOT_SEATED"),
        (free, external, "AGENT_RUNS_ITSELF"),
    ]
    for task, agent, code in cases:
        before = state(task)
        for answer in (
            api.post(of_agent(agent), {"task": str(task.id)}),
            api.post(of_task(task), {"agent": agent.slug}),
        ):
            problem = refused(answer, 409, code)
            assert state(task) == before, code
            if code == "TASK_BLOCKED":
                assert problem["blocked_by_task_ids"] == [str(waits_for.id)]
    assert not LiveWork.objects.exists()


def test_a_task_at_work_names_what_is_at_work_on_it(
    api: APIClient, worker: Agent, board: Board
) -> None:
    task = make_task(board)
    run = started(api.post(of_agent(worker), {"task": str(task.id)}))
    other = make_seat(board)
    for answer in (
        api.post(of_agent(other), {"task": str(task.id)}),
        api.post(of_agent(other), {"task": str(task.id), "queue": False}),
        api.post(of_task(task)),
    ):
        problem = refused(answer, 409, "AGENT_ALREADY_RUNNING")
        assert problem["current_execution_id"] == str(run.id)
        assert problem["current_task_id"] == str(task.id)
    assert state(task) == ("in_progress", worker.id, 1, 1)


def test_a_busy_agent_queues_or_is_refused(api: APIClient, worker: Agent, board: Board) -> None:
    first, second = make_task(board), make_task(board)
    run = started(api.post(of_agent(worker), {"task": str(first.id)}))
    body = {"task": str(second.id)}
    problem = refused(
        api.post(of_agent(worker), {**body, "queue": False}), 409, "AGENT_ALREADY_RUNNING"
    )
    assert problem["current_execution_id"] == str(run.id)
    assert problem["current_task_id"] == str(first.id)
    assert state(second) == ("inbox", None, 0, 1)
    answer = api.post(of_agent(worker), body)
    assert answer.json()["queue"]["position"] == 1
    assert answer.json()["queue"]["blocked_by"] == "agent"


def test_a_full_board_queues_refuses_or_is_full_itself(
    api: APIClient, organization: Organization
) -> None:
    board = make_board(organization, max_concurrent=1, max_queue=1)
    tasks = [make_task(board, assigned_agent=make_seat(board)) for _ in range(3)]
    started(api.post(of_task(tasks[0])))
    problem = refused(
        api.post(of_task(tasks[1]), {"queue": False}), 429, "CONCURRENCY_LIMIT_EXCEEDED"
    )
    assert (problem["scope"], problem["limit"]) == ("board", 1)
    answer = api.post(of_task(tasks[1]))
    place = {"position": 1, "estimated_wait_seconds": 300, "blocked_by": "board"}
    assert answer.json()["queue"] == place
    told = Event.objects.get(execution_id=answer.json()["exec_id"], type="task.queued")
    assert (told.data, told.seq) == (place, 2)
    before = state(tasks[2])
    problem = refused(api.post(of_task(tasks[2])), 429, "QUEUE_FULL")
    assert (problem["queue_size"], problem["max_size"], problem["retryable"]) == (1, 1, True)
    assert state(tasks[2]) == before
    assert Event.objects.filter(type="task.queued").count() == 1


def test_a_full_organization_refuses_who_does_not_queue(
    api: APIClient, worker: Agent, board: Board
) -> None:
    Organization.objects.update(max_concurrent=1)
    started(api.post(of_agent(worker), {"task": str(make_task(board).id)}))
    other = make_task(board, assigned_agent=make_seat(board))
    problem = refused(api.post(of_task(other), {"queue": False}), 429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert problem["scope"] == "organization"
    assert api.post(of_task(other)).json()["queue"]["blocked_by"] == "organization"


def test_what_is_paused_refuses_who_does_not_queue(
    api: APIClient, worker: Agent, board: Board
) -> None:
    task = make_task(board, assigned_agent=worker)
    pause_agent(worker, by=SYSTEM)
    refused(api.post(of_task(task), {"queue": False}), 409, "AGENT_PAUSED")
    pause_board(board, by=SYSTEM)
    refused(
        api.post(of_task(task), {"agent": make_seat(board).slug, "queue": False}),
        409,
        "BOARD_PAUSED",
    )
    assert state(task) == ("inbox", worker.id, 0, 0)
    answer = api.post(of_task(task))
    assert answer.json()["queue"]["estimated_wait_seconds"] is None


def test_a_pending_approval_holds_the_card_where_the_board_says_so(
    api: APIClient, organization: Organization
) -> None:
    board = make_board(organization, block_status_changes_with_pending_approval=True)
    worker = make_seat(board)
    held, free = (make_task(board, assigned_agent=worker) for _ in range(2))
    ask_approval(board, ApprovalRequest("deploy", "It is time.", (held.id,)), by=SYSTEM)
    refused(api.post(of_task(held)), 409, "APPROVAL_PENDING")
    assert started(api.post(of_agent(worker))).task == free


def test_nothing_of_others_is_there(api: APIClient, worker: Agent, board: Board) -> None:
    foreign = make_board(make_organization())
    stranger, task = make_seat(foreign), make_task(foreign)
    mine = make_task(board)
    refused(api.post(of_agent(stranger), {}), 404, "AGENT_NOT_FOUND")
    refused(api.post(of_agent(str(stranger.id)), {}), 404, "AGENT_NOT_FOUND")
    refused(api.post(of_agent(worker), {"task": str(task.id)}), 422, "VALIDATION_FAILED")
    refused(api.post(of_task(task)), 404, "BOARD_NOT_FOUND")
    refused(api.post(of_task(mine), {"agent": str(stranger.id)}), 404, "AGENT_NOT_FOUND")
    there = of_task(mine).replace(str(mine.id), str(task.id))
    refused(api.post(there), 404, "TASK_NOT_FOUND")
    refused(api.post(there.replace(str(task.id), str(uuid4()))), 404, "TASK_NOT_FOUND")
    assert not Execution.objects.exists()


def test_operators_with_the_scope_start(
    organization: Organization, worker: Agent, board: Board
) -> None:
    task = make_task(board, assigned_agent=worker)
    for path in (of_agent(worker), of_task(task)):
        refused(client_of(organization, Role.VIEWER).post(path), 403, "ROLE_TOO_LOW")
        refused(client_of(organization, Role.OWNER, "boards").post(path), 403, "SCOPE_MISSING")
        refused(api_client().post(path), 401, "NOT_AUTHENTICATED")
    started(client_of(organization, Role.OPERATOR, "run").post(of_task(task)))


@pytest.mark.parametrize(
    "body",
    [{"task": 5}, {"priority": 9}, {"queue": "no"}, {"colour": "red"}, {"prompt": 7}],
)
def test_a_body_is_looked_at(api: APIClient, worker: Agent, body: dict[str, Any]) -> None:
    refused(api.post(of_agent(worker), body), 422, "VALIDATION_FAILED")


# --- without a task ----------------------------------------------------------------------------


def test_its_own_come_before_those_of_nobody_by_priority_and_place(
    api: APIClient, worker: Agent, board: Board
) -> None:
    Agent.objects.update(max_concurrency=None)
    waits_for = make_task(board, assigned_agent=make_seat(board))
    blocked = make_task(board, priority=1, depends_on_task_ids=[waits_for.id])
    anyones = make_task(board, priority=1)
    late, first = (make_task(board, priority=2, assigned_agent=worker) for _ in range(2))
    move_task(first, by=SYSTEM, after=None)
    urgent = make_task(board, priority=1, assigned_agent=worker)
    make_task(make_board(board.organization))
    runs = [started(api.post(of_agent(worker), {"prompt": str(n)})) for n in range(4)]
    assert [run.task for run in runs] == [urgent, first, late, anyones]
    refused(api.post(of_agent(worker)), 400, "AGENT_NO_AVAILABLE_TASK")
    assert state(blocked)[:2] == ("inbox", None)


def test_an_agent_without_a_seat_has_no_task(api: APIClient, organization: Organization) -> None:
    agent = make_agent(organization)
    refused(api.post(of_agent(agent)), 400, "AGENT_NO_AVAILABLE_TASK")
    external = make_agent(organization, kind="external")
    refused(api.post(of_agent(external)), 409, "AGENT_RUNS_ITSELF")


def test_those_who_ask_at_once_get_different_tasks(
    organization: Organization, board: Board
) -> None:
    Board.objects.update(max_concurrent=None)
    agents = [make_seat(board) for _ in range(6)]
    for _ in range(4):
        make_task(board)
    calls = [partial(client_of(organization).post, of_agent(agent)) for agent in agents]
    answers = all_at_once(*calls)
    assert sorted(answer.status_code for answer in answers) == [202] * 4 + [400] * 2
    assert len(set(Execution.objects.values_list("task", flat=True))) == 4


def test_of_those_who_start_one_task_at_once_one_does(
    organization: Organization, board: Board
) -> None:
    task, agents = make_task(board), [make_seat(board) for _ in range(5)]
    calls = [
        partial(client_of(organization).post, of_agent(agent), {"task": str(task.id)})
        for agent in agents
    ]
    answers = all_at_once(*calls)
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    run = Execution.objects.get()
    assert state(task) == ("in_progress", run.agent_id, 1, 1)


def test_a_start_and_a_removal_of_its_task_see_each_other(
    api: APIClient, organization: Organization, worker: Agent, board: Board
) -> None:
    task = make_task(board)
    answers = all_at_once(
        partial(client_of(organization).post, of_agent(worker), {"task": str(task.id)}),
        partial(delete_task, task, by=SYSTEM),
    )
    if Task.objects.filter(pk=task.pk).exists():
        assert (answers[0].status_code, type(answers[1]).__name__) == (202, "StillRunning")
    else:
        assert answers[0].status_code in (404, 422)
        assert not Execution.objects.exists()


# --- what it is told ---------------------------------------------------------------------------


def test_it_is_told_the_card_and_then_the_callers_words(
    api: APIClient, organization: Organization, worker: Agent, board: Board
) -> None:
    admin = client_of(organization)
    field = {"key": "colour", "name": "Colour", "type": "text", "boards": [str(board.id)]}
    assert admin.post("/api/v0/custom-fields", field).status_code == 201
    waits_for = make_task(board, title="Buy the paint")
    task = make_task(
        board,
        title="Paint the fence",
        description="All of it.",
        depends_on_task_ids=[waits_for.id],
        custom_field_values={"colour": "green"},
    )
    Task.objects.filter(pk=waits_for.pk).update(status=TaskStatus.DONE)
    comments = f"/api/v0/boards/{board.id}/tasks/{task.id}/comments"
    for words in ("Twice.", "No, once."):
        api_answer = admin.post(comments, {"content": words})
        assert api_answer.status_code == 201
    run = started(api.post(of_agent(worker), {"task": str(task.id), "prompt": "Begin outside."}))
    told = Entry.objects.get(execution=run).content["text"]
    parts = [
        "Your task: Paint the fence",
        "All of it.",
        "Greet everybody.",
        "Colour: green",
        "- Buy the paint",
        ": Twice.",
        ": No, once.",
        "Begin outside.",
    ]
    places = [told.index(part) for part in parts]
    assert places == sorted(places)
    assert told.endswith("Begin outside.")
    assert run.input["prompt"] == told


def test_a_bare_card_is_told_without_empty_headings(board: Board) -> None:
    Board.objects.update(objective="")
    board.refresh_from_db()
    assert briefing.of(make_task(board, title="Mow")) == "Your task: Mow"


def test_what_it_is_told_has_bounds(api: APIClient, worker: Agent, board: Board) -> None:
    Board.objects.update(objective="o" * 100_000)
    board.refresh_from_db()
    task = make_task(board, description="d" * 100_000)
    for number in range(briefing.MOST_COMMENTS + 5):
        change_task(task, {"comment": f"<{number}>" + "c" * 10_000}, by=SYSTEM)
    run = started(api.post(of_agent(worker), {"task": str(task.id), "prompt": "w" * 50_000}))
    told = Entry.objects.get(execution=run).content["text"]
    assert "<5>" in told
    assert "<4>" not in told
    assert told.count("cut here: 100000 characters") == 2
    assert told.endswith("w" * 50_000)
    assert len(told) < 50_000 + 40_000


def test_a_retry_is_told_the_same(api: APIClient, worker: Agent, board: Board) -> None:
    task = make_task(board, title="Paint the fence")
    run = started(api.post(of_agent(worker), {"task": str(task.id)}))
    fail(run)
    again = started(api.post(f"/api/v0/executions/agents/{run.id}/retry"))
    assert again.status == Status.QUEUED
    assert Entry.objects.get(execution=again).content["text"] == "\n\n".join(
        ["Your task: Paint the fence", "What the board is for:\nGreet everybody."]
    )
