"""What the operations of the agent API answer and refuse, beyond who may call them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient
from uuid_utils.compat import uuid7

from agents import presence
from agents.actions import create_gateway
from agents.activity import SYSTEM
from agents.errors import GatewayFailed
from agents.models import Activity, Agent, Gateway, Message, SoulVersion
from boards.actions import seat_agent
from boards.models import Seat, Tag, Task
from tests.boards.agents import AGENT, World, with_token
from tests.factories import (
    counted_queries,
    make_agent,
    make_board,
    make_live_work,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lead(world: World) -> APIClient:
    return with_token(world.lead)


@pytest.fixture
def worker(world: World) -> APIClient:
    return with_token(world.worker)


@pytest.fixture
def main(world: World) -> APIClient:
    return with_token(world.main)


@pytest.fixture
def broken(world: World) -> None:
    """A gateway that takes nothing: its address is none that may be posted to."""
    fields = {"name": "Broken", "kind": "webhook", "url": "http://127.0.0.1:9/secret-internals"}
    gateway = create_gateway(world.organization, fields, by=SYSTEM)
    Agent.objects.filter(organization=world.organization).update(gateway=gateway)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.content
    return dict(answer.json())


def types_about(**target: Any) -> list[str]:
    return list(Activity.objects.filter(**target).order_by("id").values_list("type", flat=True))


# --- who I am ------------------------------------------------------------------------------------


def test_health_says_who_the_agent_is(world: World, lead: APIClient) -> None:
    assert lead.get(f"{AGENT}/healthz").json() == {
        "ok": True,
        "agent_id": str(world.lead.id),
        "board_id": str(world.board.id),
        "gateway_id": None,
        "status": "offline",
        "is_board_lead": True,
    }


def test_a_call_refreshes_when_the_agent_was_seen_and_nothing_else_does(
    world: World, worker: APIClient, lead: APIClient
) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    for agent in (world.worker, world.lead):
        Agent.objects.filter(pk=agent.pk).update(last_seen_at=long_ago)
    lead.get(f"{AGENT}/agents")
    lead.post(f"{AGENT}/heartbeat", {"agent_id": str(world.worker.id)})
    lead.post(f"{world.home}/agents/{world.worker.id}/nudge", {"message": "Go on."})
    world.worker.refresh_from_db()
    assert world.worker.last_seen_at == long_ago
    world.lead.refresh_from_db()
    first = world.lead.last_seen_at
    assert first is not None
    assert first > long_ago
    lead.post(f"{AGENT}/heartbeat")
    world.lead.refresh_from_db()
    assert world.lead.last_seen_at == first, "written again within thirty seconds"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "external"}, "provisioning"),
        ({"kind": "external", "last_seen_at": timedelta(minutes=11)}, "offline"),
        ({"kind": "external", "last_seen_at": timedelta(minutes=9)}, "online"),
        ({"kind": "external", "last_seen_at": timedelta(), "is_paused": True}, "paused"),
        ({"kind": "react"}, "offline"),
        ({"kind": "react", "served": True}, "online"),
        ({"kind": "react", "served": True, "is_busy": True}, "busy"),
        ({"kind": "react", "is_busy": True, "is_paused": True}, "paused"),
    ],
)
def test_the_status_of_an_agent_is_the_first_that_holds(
    world, lead, monkeypatch, fields, expected
) -> None:
    served, busy = fields.pop("served", False), fields.pop("is_busy", False)
    if "last_seen_at" in fields:
        fields["last_seen_at"] = timezone.now() - fields["last_seen_at"]
    Agent.objects.filter(pk=world.worker.pk).update(**fields)
    if busy:
        make_live_work(world.worker, world.task())
    queues = ["executions"] if served else []
    monkeypatch.setattr(presence, "served_queues", lambda: queues)
    roster = lead.get(f"{AGENT}/agents").json()["results"]
    assert {each["id"]: each["status"] for each in roster}[str(world.worker.id)] == expected


def test_the_roster_of_a_seated_agent_is_its_board(world, lead, main) -> None:
    def names(client: APIClient, **query: Any) -> set[str]:
        answer = client.get(f"{AGENT}/agents", query)
        return {each["name"] for each in answer.json()["results"]}

    assert names(lead) == {"Lena", "Wim"}
    assert names(main) == {"Lena", "Wim", "Bea", "Max"}
    assert names(main, board_id=world.other_board.id) == {"Bea"}
    refused(lead.get(f"{AGENT}/agents", {"board_id": world.other_board.id}), 403, "OTHER_BOARD")
    for board_id in (world.stranger_board.id, uuid7(), "x"):
        refused(main.get(f"{AGENT}/agents", {"board_id": board_id}), 404, "BOARD_NOT_FOUND")


def test_a_main_agent_sees_the_boards_of_its_organization(world, lead, main) -> None:
    assert {each["name"] for each in main.get(f"{AGENT}/boards").json()["results"]} == {
        "Owls",
        "Bats",
    }
    assert [each["name"] for each in lead.get(f"{AGENT}/boards").json()["results"]] == ["Owls"]


# --- tasks ---------------------------------------------------------------------------------------


def test_tasks_are_filtered(world, worker) -> None:
    mine, free = world.task(assigned_agent=world.worker), world.task()
    world.task(status="review")

    def ids(**query: Any) -> set[str]:
        return {each["id"] for each in worker.get(f"{world.home}/tasks", query).json()["results"]}

    assert ids(assigned_agent_id=world.worker.id) == {str(mine.id)}
    assert ids(status="inbox", unassigned="true") == {str(free.id)}
    assert len(ids(status="inbox,review")) == 3
    refused(worker.get(f"{world.home}/tasks", {"status": "lost"}), 422, "VALIDATION_FAILED")
    refused(worker.get(f"{world.home}/tasks", {"state": "inbox"}), 400, "UNKNOWN_PARAMETER")


def test_a_lead_creates_a_task_with_all_that_belongs_to_it(world, lead) -> None:
    first = world.task()
    tag = Tag.objects.create(organization=world.organization, name="Night", slug="night")
    body = {
        "title": "Count at night",
        "depends_on_task_ids": [str(first.id)],
        "tag_ids": [str(tag.id)],
    }
    made = lead.post(f"{world.home}/tasks", body)
    assert made.status_code == 200, made.content
    task = made.json()
    assert task["auto_created"]
    assert task["auto_reason"] == f"lead_agent:{world.lead.id}"
    assert task["blocked_by_task_ids"] == [str(first.id)]
    assert [each["slug"] for each in task["tags"]] == ["night"]
    body = {"title": "T", "assigned_agent_id": str(world.worker.id)}
    assert lead.post(f"{world.home}/tasks", body).json()["assigned_agent_id"] == str(
        world.worker.id
    )
    assert Message.objects.get(recipient=world.worker).kind == "assignment"


def test_every_refusal_of_a_new_task(world, lead) -> None:
    first = world.task()
    elsewhere = make_seat(world.other_board)

    def answer(**fields: Any) -> Any:
        return lead.post(f"{world.home}/tasks", {"title": "T", **fields})

    unknown = str(uuid7())
    refused(answer(assigned_agent_id=unknown), 404, "AGENT_NOT_FOUND")
    refused(answer(assigned_agent_id=str(world.stranger.id)), 404, "AGENT_NOT_FOUND")
    refused(answer(assigned_agent_id=str(world.main.id)), 404, "AGENT_NOT_FOUND")
    refused(answer(assigned_agent_id=str(elsewhere.id)), 409, "ASSIGNEE_ELSEWHERE")
    refused(answer(assigned_agent_id=str(world.lead.id)), 403, "ASSIGNEE_IS_LEAD")
    refused(answer(depends_on_task_ids=[unknown]), 404, "TASK_NOT_FOUND")
    refused(answer(tag_ids=[unknown]), 404, "TAG_NOT_FOUND")
    blocked = refused(
        answer(depends_on_task_ids=[str(first.id)], status="in_progress"), 409, "TASK_BLOCKED"
    )
    assert blocked["blocked_by_task_ids"] == [str(first.id)]
    refused(answer(status="done"), 409, "APPROVAL_REQUIRED")
    refused(answer(title=""), 422, "VALIDATION_FAILED")
    refused(answer(unheard_of=1), 422, "VALIDATION_FAILED")
    assert Task.objects.count() == 1


def test_dependencies_are_checked_when_they_change(world, lead) -> None:
    one, two = world.task(), world.task()
    lead.patch(f"{world.home}/tasks/{one.id}", {"depends_on_task_ids": [str(two.id)]})

    def patch(task: Task, on: Task) -> Any:
        return lead.patch(f"{world.home}/tasks/{task.id}", {"depends_on_task_ids": [str(on.id)]})

    refused(patch(two, one), 409, "DEPENDENCY_CYCLE")
    refused(patch(two, two), 422, "WAITS_FOR_ITSELF")


def test_a_task_at_work_is_not_deleted(world, lead) -> None:
    task = world.task()
    make_live_work(world.worker, task)
    refused(lead.delete(f"{world.home}/tasks/{task.id}"), 409, "AGENT_ALREADY_RUNNING")


def test_a_task_of_another_board_is_not_there(world, lead) -> None:
    task = make_task(make_board(world.organization))
    for answer in (
        lead.patch(f"{world.home}/tasks/{task.id}", {"status": "done"}),
        lead.delete(f"{world.home}/tasks/{task.id}"),
        lead.get(f"{world.home}/tasks/{task.id}/comments"),
    ):
        assert answer.status_code == 404


# --- workers, souls, nudges ----------------------------------------------------------------------


def test_a_lead_creates_workers_up_to_the_limit(world, lead) -> None:
    world.board.max_agents = 2
    world.board.save()
    made = lead.post(f"{AGENT}/agents", {"name": "Tess", "board_id": "x"})
    assert made.status_code == 422
    made = lead.post(f"{AGENT}/agents", {"name": "Tess", "soul": "Test everything."})
    assert made.status_code == 200, made.content
    assert made.json()["board_id"] == str(world.board.id)
    assert Seat.objects.get(agent=made.json()["id"]).role == "worker"
    facts = refused(lead.post(f"{AGENT}/agents", {"name": "Tom"}), 409, "MAX_AGENTS_REACHED")
    assert facts["limit"] == 2
    world.board.max_agents = 9
    world.board.save()
    refused(lead.post(f"{AGENT}/agents", {"name": "TESS"}), 409, "AGENT_NAME_TAKEN")
    bad = lead.post(f"{AGENT}/agents", {"name": "Tim", "tools": ["Hammer"]})
    refused(bad, 400, "UNKNOWN_TOOL")
    assert not Agent.objects.filter(name="Tim").exists()


def test_a_nudge_is_recorded(world, lead) -> None:
    nudge = f"{world.home}/agents/{world.worker.id}/nudge"
    assert lead.post(nudge, {"message": "Go on."}).json() == {"ok": True}
    message = Message.objects.get(recipient=world.worker)
    assert message.correlation_id == f"nudge:{world.board.id}:{world.worker.id}"
    line = Activity.objects.get(type="agent.nudge.sent")
    assert line.data["correlation_id"] == message.correlation_id
    for agent in (world.other_lead, world.stranger, world.main):
        answer = lead.post(f"{world.home}/agents/{agent.id}/nudge", {"message": "Hi"})
        refused(answer, 404, "AGENT_NOT_FOUND")
    refused(lead.post(nudge, {"message": " "}), 422, "VALIDATION_FAILED")


def test_an_agent_whose_gateway_is_off_is_not_reachable(world, lead) -> None:
    gateway = Gateway.objects.create(organization=world.organization, name="Off", is_enabled=False)
    Agent.objects.filter(pk=world.worker.pk).update(gateway=gateway)
    nudge = f"{world.home}/agents/{world.worker.id}/nudge"
    refused(lead.post(nudge, {"message": "Go on."}), 422, "GATEWAY_UNREACHABLE")
    assert types_about(type__startswith="agent.nudge") == ["agent.nudge.failed"]
    task = lead.post(
        f"{world.home}/tasks", {"title": "T", "assigned_agent_id": str(world.worker.id)}
    )
    assert task.status_code == 200, "a notice that cannot be delivered holds nothing up"
    assert Message.objects.get().state == "failed"


@pytest.mark.usefixtures("broken")
def test_a_gateway_that_fails_is_told_without_its_internals(world, lead) -> None:
    nudge = f"{world.home}/agents/{world.worker.id}/nudge"
    answer = lead.post(nudge, {"message": "Go on."})
    refused(answer, 502, "GATEWAY_FAILED")
    assert b"secret" not in answer.content
    kept = Message.objects.get()
    assert (kept.state, kept.content) == ("failed", "Go on.")
    assert types_about(type__startswith="agent.nudge") == ["agent.nudge.failed"]


def test_souls_are_read_by_their_agent_and_its_lead(world, lead, worker) -> None:
    Agent.objects.filter(pk=world.worker.pk).update(soul="Count.")
    path = f"{world.home}/agents/{world.worker.id}/soul"
    assert worker.get(path).json() == "Count."
    assert lead.get(path).json() == "Count."
    refused(worker.get(f"{world.home}/agents/{world.lead.id}/soul"), 403, "LEADS_ONLY")
    read = Activity.objects.filter(type="agent.soul.read").first()
    assert read is not None
    assert read.data["correlation_id"] == f"soul.read:{world.board.id}:{world.worker.id}"


def test_a_soul_is_written_and_sent(world, lead) -> None:
    path = f"{world.home}/agents/{world.worker.id}/soul"
    body = {"content": "Count twice.", "reason": "Owls move."}
    assert lead.put(path, body).json() == {"ok": True}
    version = SoulVersion.objects.get(agent=world.worker)
    assert (version.number, version.reason) == (1, "Owls move.")
    assert Message.objects.get(recipient=world.worker).kind == "soul"
    refused(lead.put(path, {"content": ""}), 422, "VALIDATION_FAILED")


@pytest.mark.usefixtures("broken")
def test_a_soul_that_is_not_sent_is_not_saved(world, lead) -> None:
    path = f"{world.home}/agents/{world.worker.id}/soul"
    refused(lead.put(path, {"content": "Count twice."}), 502, "GATEWAY_FAILED")
    assert not SoulVersion.objects.filter(agent=world.worker).exists()
    assert Message.objects.get().state == "failed"


def test_a_removed_worker_gives_its_tasks_back(world, lead) -> None:
    task = world.task(assigned_agent=world.worker, status="in_progress")
    over = world.task(assigned_agent=world.worker)
    Task.objects.filter(pk=over.pk).update(status="done")
    path = f"{world.home}/agents/{world.worker.id}"
    refused(lead.delete(f"{world.home}/agents/{world.lead.id}"), 403, "LEAD_STAYS")
    refused(lead.delete(f"{world.home}/agents/{world.main.id}"), 404, "AGENT_NOT_FOUND")
    assert lead.delete(path).json() == {"ok": True}
    refused(lead.delete(path), 404, "AGENT_NOT_FOUND")
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == ("inbox", None)
    over.refresh_from_db()
    assert over.status == "done"


# --- people, leads, inbox ------------------------------------------------------------------------


def test_people_are_asked(world, lead) -> None:
    asked = lead.post(
        f"{world.home}/gateway/main/ask-user",
        {"content": "Which owls?", "correlation_id": "owls-1", "reply_tags": ["owls"]},
    )
    assert asked.status_code == 200, asked.content
    message = Message.objects.get(pk=asked.json()["message_id"])
    assert (message.audience, message.correlation_id) == ("people", "owls-1")


def test_a_board_without_a_lead_gets_one(world, main) -> None:
    board = make_board(world.organization, name="Newts")
    path = f"{AGENT}/gateway/boards/{board.id}/lead/message"
    first = main.post(path, {"kind": "handoff", "content": "Take this."}).json()
    assert first["lead_created"]
    lead = Agent.objects.get(pk=first["lead_agent_id"])
    assert (lead.gateway_id, lead.kind) == (world.gateway.id, "external")
    again = main.post(path, {"kind": "question", "content": "How far?"}).json()
    assert again == {**first, "lead_created": False}
    assert [each.kind for each in Message.objects.filter(recipient=lead).order_by("id")] == [
        "lead_handoff",
        "lead_question",
    ]
    Gateway.objects.update(is_enabled=False)
    refused(main.post(path, {"kind": "question", "content": "?"}), 422, "GATEWAY_UNREACHABLE")


def test_a_broadcast_says_whom_it_reached(world, main) -> None:
    make_board(world.organization, name="Newts")
    path = f"{AGENT}/gateway/leads/broadcast"
    told = main.post(path, {"content": "Freeze."})
    assert told.status_code == 207
    assert (told.json()["sent"], told.json()["failed"], told.json()["ok"]) == (2, 1, False)
    named = main.post(path, {"content": "Freeze.", "board_ids": [str(world.board.id)]})
    assert (named.status_code, named.json()["sent"]) == (200, 1)
    foreign = {"content": "Freeze.", "board_ids": [str(world.stranger_board.id)]}
    refused(main.post(path, foreign), 404, "BOARD_NOT_FOUND")
    assert Message.objects.filter(recipient=world.stranger).count() == 0
    lines = Activity.objects.filter(type="lead.message.sent", board_id=world.board.id)
    assert [line.data["kind"] for line in lines] == ["broadcast", "broadcast"]


def test_a_broadcast_looks_for_all_leads_at_once(world, main) -> None:
    for number in range(3):
        make_board(world.organization, name=f"Newts {number}")
    with counted_queries() as queries:
        main.post(f"{AGENT}/gateway/leads/broadcast", {"content": "Freeze."})
    asked = [each["sql"] for each in queries if each["sql"].startswith("SELECT")]
    assert len([each for each in asked if "'lead'" in each]) == 1


@pytest.mark.usefixtures("broken")
def test_a_broadcast_that_reaches_nobody_is_502(world, main) -> None:
    answer = main.post(f"{AGENT}/gateway/leads/broadcast", {"content": "Freeze."})
    refused(answer, GatewayFailed.status_code, "GATEWAY_FAILED")
    assert len(answer.json()["results"]) == 2
    kept = Message.objects.values_list("recipient_name", "state")
    assert set(kept) == {("Lena", "failed"), ("Bea", "failed")}, "they can be sent again"


def test_a_message_stays_until_it_is_acknowledged(world, lead, worker) -> None:
    for words in ("First.", "Second."):
        lead.post(f"{world.home}/agents/{world.worker.id}/nudge", {"message": words})
    inbox = worker.get(f"{AGENT}/inbox").json()["results"]
    assert [each["content"] for each in inbox] == ["First.", "Second."]
    ack = f"{AGENT}/inbox/{inbox[0]['id']}/ack"
    refused(lead.post(ack), 404, "MESSAGE_NOT_FOUND")
    assert worker.post(ack).json() == {"ok": True}
    assert worker.post(ack).json() == {"ok": True}
    left = worker.get(f"{AGENT}/inbox").json()["results"]
    assert [each["content"] for each in left] == ["Second."]
    assert Message.objects.get(pk=inbox[0]["id"]).acknowledged_at is not None


# --- webhooks, onboarding ------------------------------------------------------------------------


def test_a_payload_is_cut_where_only_its_beginning_is_wanted(world, worker) -> None:
    path = f"{world.home}/webhooks/{world.webhook.id}/payloads"
    whole = worker.get(f"{path}/{world.payload.id}").json()
    assert (whole["body"], whole["truncated"]) == ("0123456789", False)
    cut = worker.get(f"{path}/{world.payload.id}", {"max_chars": 4}).json()
    assert (cut["body"], cut["truncated"]) == ("0123", True)
    for wrong in ("0", "1000001", "x", "-1"):
        answer = worker.get(f"{path}/{world.payload.id}", {"max_chars": wrong})
        refused(answer, 422, "MAX_CHARS_INVALID")
    refused(worker.get(f"{path}/{uuid7()}"), 404, "PAYLOAD_NOT_FOUND")
    other = f"{world.home}/webhooks/{uuid7()}/payloads/{world.payload.id}"
    refused(worker.get(other), 404, "PAYLOAD_NOT_FOUND")


def test_an_agent_seated_elsewhere_reads_no_payload(world) -> None:
    agent = make_agent(world.organization)
    seat_agent(world.other_board, agent, by=SYSTEM)
    path = f"{AGENT}/boards/{world.other_board.id}/webhooks/{world.webhook.id}/payloads"
    answer = with_token(agent).get(f"{path}/{world.payload.id}")
    refused(answer, 404, "PAYLOAD_NOT_FOUND")


def test_onboarding_has_to_be_begun(world, main) -> None:
    path = f"{world.home}/onboarding"
    refused(main.post(path, {"question": "What for?"}), 404, "ONBOARDING_NOT_FOUND")
    world.begin_onboarding()
    assert main.post(path, {"question": "What for?"}).json()["status"] == "active"
    draft = {"objective": "Count owls.", "success_metrics": {"owls": 40}}
    done = main.post(path, {"draft": draft}).json()
    assert (done["status"], done["draft"]["objective"]) == ("completed", "Count owls.")
    for body in ({}, {"question": "?", "draft": {}}):
        refused(main.post(path, body), 422, "VALIDATION_FAILED")
