"""Approvals: asked once a task, decided once, never by who asked or by an agent."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from uuid_utils.compat import uuid7

from agents import actions as agents_actions
from agents.actions import KeyTerms
from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, Gateway, Message
from boards.actions import (
    ApprovalRequest,
    approvals,
    ask_approval,
    decide_approval,
    delete_task,
)
from boards.actions.approvals import (
    AgentDecides,
    AlreadyAsked,
    AlreadyDecided,
    NotTheRequester,
    RequesterDecides,
    withdraw_approval,
)
from boards.errors import TaskNotFound
from boards.models import Approval, ApprovalTask
from tests.factories import (
    API,
    all_at_once,
    api_client,
    client_of,
    make_agent,
    make_board,
    make_key,
    make_member,
    make_organization,
    make_task,
    signed_in,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db
ASKED = {"action_type": "deploy", "reason": "It is tested.", "confidence": 80}


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization)


@pytest.fixture
def client(organization):
    return client_of(organization)


def place_of(board):
    return f"{API}/boards/{board.id}/approvals"


def agent_of(organization, **fields):
    agent = make_agent(organization, **fields)
    return agent, Actor(ActorKind.AGENT, agent.id, agent.name)


def request_for(*tasks):
    return ApprovalRequest("deploy", "Tested.", tuple(task.id for task in tasks))


def someone(organization):
    return Actor(ActorKind.MEMBER, make_member(organization).user_id, "Ann")


def lines():
    found = Activity.objects.filter(type__startswith="approval.").order_by("id")
    return [line.type for line in found]


def test_it_is_pending_whatever_the_body_says(client, board):
    task, other = make_task(board), make_task(board)
    body = {
        **ASKED,
        "status": "approved",
        "task_id": str(task.id),
        "task_ids": [str(other.id), str(task.id)],
        "payload": {"to": "production"},
        "rubric_scores": {"tests": 5},
    }
    response = client.post(place_of(board), body)
    assert response.status_code == 201, response.content
    approval = response.json()
    assert approval["status"] == "pending"
    assert approval["task_ids"] == sorted([str(task.id), str(other.id)])
    assert approval["decided_by"] is None
    assert approval["requester"]["kind"] == "key"
    assert client.get(response["Location"]).json() == approval
    line = Activity.objects.get(type="approval.requested")
    assert line.data["task_ids"] == approval["task_ids"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", None),
        ("reason", " "),
        ("action_type", ""),
        ("action_type", "x" * 81),
        ("confidence", -0.1),
        ("confidence", 100.1),
        ("payload", []),
        ("rubric_scores", {"a": "b"}),
        ("task_ids", ["x"]),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, board, field, value):
    response = client.post(place_of(board), {**ASKED, field: value})
    assert response.status_code == 422, response.content
    assert {error["field"].split("[")[0] for error in response.json()["errors"]} == {field}


def test_the_reason_is_required(client, board):
    response = client.post(place_of(board), {"action_type": "x"})
    assert [error["field"] for error in response.json()["errors"]] == ["reason"]


def test_tasks_of_other_boards_and_organizations_are_not_there(client, organization, board):
    ids = [make_task(make_board(of)).id for of in (organization, make_organization())]
    ids.append(uuid7())
    response = client.post(place_of(board), {**ASKED, "task_ids": [str(one) for one in ids]})
    assert (response.status_code, response.json()["code"]) == (404, "TASK_NOT_FOUND")
    assert response.json()["unknown_task_ids"] == sorted(map(str, ids))
    assert not Approval.objects.exists()


def test_a_task_has_one_pending_approval(client, board):
    task, free = make_task(board), make_task(board)
    first = client.post(place_of(board), {**ASKED, "task_id": str(task.id)}).json()
    both = {**ASKED, "task_ids": [str(task.id), str(free.id)]}
    response = client.post(place_of(board), both)
    assert (response.status_code, response.json()["code"]) == (409, "APPROVAL_ALREADY_PENDING")
    assert response.json()["conflicts"] == [{"approval_id": first["id"], "task_id": str(task.id)}]
    assert Approval.objects.count() == 1
    assert client.post(f"{place_of(board)}/{first['id']}/withdraw").status_code == 200
    assert client.post(place_of(board), both).status_code == 201


def test_the_index_has_the_last_word(board, monkeypatch):
    task, looks = make_task(board), []
    ask_approval(board, request_for(task), by=SYSTEM)
    look = approvals._refuse_if_asked

    def look_away_once(task_ids):
        looks.append(task_ids)
        return None if len(looks) == 1 else look(task_ids)

    monkeypatch.setattr(approvals, "_refuse_if_asked", look_away_once)
    with pytest.raises(AlreadyAsked) as refused:
        ask_approval(board, request_for(task), by=SYSTEM)
    assert refused.value.facts["conflicts"]
    assert len(looks) == 2


@pytest.mark.parametrize(("status", "reason"), [("approved", "Fine."), ("rejected", "")])
def test_a_person_decides(client, organization, board, status, reason):
    agent, by = agent_of(organization)
    task = make_task(board)
    approval = ask_approval(board, request_for(task), by=by)
    person = signed_in(make_member(organization, "operator").user)
    place = f"{place_of(board)}/{approval.id}"
    response = person.patch(place, {"status": status, "reason": reason})
    assert response.status_code == 200, response.content
    assert response.json()["status"] == status
    assert response.json()["decision_reason"] == reason
    assert response.json()["decided_by"]["kind"] == "member"
    assert lines() == ["approval.requested", f"approval.{status}"]
    told = Message.objects.get(recipient=agent)
    assert (told.kind, told.task_id) == ("decision", task.id)
    assert told.data["status"] == status
    again = person.patch(place, {"status": status})
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_DECIDED")
    assert again.json()["approval_status"] == status
    assert not ApprovalTask.objects.filter(is_open=True).exists()
    assert person.post(f"{place}/withdraw").json()["code"] == "ALREADY_DECIDED"


@pytest.mark.parametrize("status", ["pending", "withdrawn", "x", None])
def test_only_two_decisions_can_be_made(client, board, status):
    approval = ask_approval(board, request_for(), by=SYSTEM)
    response = client.patch(f"{place_of(board)}/{approval.id}", {"status": status})
    assert response.status_code == 422


def test_a_decision_stands_though_the_agents_gateway_is_off(organization, board):
    gateway = Gateway.objects.create(organization=organization, name="g", is_enabled=False)
    agent, by = agent_of(organization)
    type(agent).objects.filter(pk=agent.pk).update(gateway=gateway)
    approval = ask_approval(board, request_for(), by=by)
    decided = decide_approval(approval, approve=True, reason="", by=someone(organization))
    assert decided.status == "approved"


def test_agents_do_not_decide(organization, board):
    approval = ask_approval(board, request_for(), by=SYSTEM)
    with pytest.raises(AgentDecides):
        decide_approval(approval, approve=True, reason="", by=agent_of(organization)[1])


def test_who_asked_does_not_decide(client, board):
    asked = client.post(place_of(board), ASKED).json()
    response = client.patch(f"{place_of(board)}/{asked['id']}", {"status": "approved"})
    assert (response.status_code, response.json()["code"]) == (403, "REQUESTER_CANNOT_DECIDE")


def test_nor_do_the_keys_of_who_asked(organization, board):
    user = make_member(organization).user
    person = Actor(ActorKind.MEMBER, user.id, "Ann")
    made = [
        agents_actions.create_key(organization, KeyTerms("k", "owner"), by=person) for _ in "ab"
    ]
    keys = [Actor(ActorKind.KEY, key.id, key.name) for key, _ in made]
    stranger = Actor(ActorKind.KEY, make_key(organization)[0].id, "s")
    for asks, decides in [(person, keys[0]), (keys[0], person), (keys[0], keys[1])]:
        approval = ask_approval(board, request_for(), by=asks)
        with pytest.raises(RequesterDecides):
            decide_approval(approval, approve=True, reason="", by=decides)
        assert decide_approval(approval, approve=True, reason="", by=stranger).decided_at
    place = f"{place_of(board)}/{ask_approval(board, request_for(), by=person).id}"
    response = api_client(made[0][1]).patch(place, {"status": "approved"})
    assert response.json()["code"] == "REQUESTER_CANNOT_DECIDE"


def test_an_agent_withdraws_only_its_own(organization, board):
    (_, one), (_, other) = agent_of(organization), agent_of(organization)
    approval = ask_approval(board, request_for(), by=one)
    with pytest.raises(NotTheRequester):
        withdraw_approval(approval, by=other)
    assert withdraw_approval(approval, by=one).status == "withdrawn"
    assert lines()[-1] == "approval.withdrawn"


def test_the_list_is_filtered(client, organization, board):
    task = make_task(board)
    about_it = ask_approval(board, request_for(task), by=SYSTEM)
    decided = ask_approval(board, request_for(), by=SYSTEM)
    decide_approval(decided, approve=True, reason="", by=someone(organization))

    def found(query):
        page = client.get(f"{place_of(board)}?{query}").json()["results"]
        return [approval["id"] for approval in page]

    assert found("") == [str(decided.id), str(about_it.id)]
    assert found("status=pending") == [str(about_it.id)]
    assert found(f"task={task.id}") == [str(about_it.id)]
    assert client.get(f"{place_of(board)}?status=x").status_code == 422
    assert client.delete(f"{place_of(board)}/{decided.id}").status_code == 405


def test_a_stale_decision_is_412(client, organization, board):
    place = f"{place_of(board)}/{ask_approval(board, request_for(), by=SYSTEM).id}"
    etag = client.get(place)["ETag"]
    Approval.objects.update(updated_at=Approval.objects.get().updated_at + timedelta(seconds=1))
    body = {"status": "approved"}
    assert client.patch(place, body, HTTP_IF_MATCH=etag).status_code == 412


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_once_for_one_task_one_wins(organization, board):
    for _ in range(50):
        one, two = make_task(board), make_task(board)
        both, second = request_for(one, two), request_for(two)
        answers = all_at_once(
            partial(ask_approval, board, both, by=SYSTEM),
            partial(ask_approval, board, second, by=SYSTEM),
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyAsked", "Approval"]
        assert ApprovalTask.objects.filter(task=two, is_open=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_deciders_at_once_one_decides(organization, board):
    people = [someone(organization), someone(organization)]
    for _ in range(50):
        approval = ask_approval(board, request_for(make_task(board)), by=SYSTEM)
        answers = all_at_once(
            partial(decide_approval, approval, approve=True, reason="", by=people[0]),
            partial(decide_approval, approval, approve=False, reason="", by=people[1]),
        )
        refused = [answer for answer in answers if isinstance(answer, AlreadyDecided)]
        assert len(refused) == 1, answers
        approval.refresh_from_db()
        assert refused[0].facts["approval_status"] == approval.status
        told = Activity.objects.filter(data__approval_id=str(approval.id)).count()
        assert told == 2


@pytest.mark.django_db(transaction=True)
def test_a_decision_and_the_end_of_its_task_do_not_wait_for_each_other(organization, board):
    task, person = make_task(board), someone(organization)
    approval = ask_approval(board, request_for(task), by=SYSTEM)
    ended = []

    def delete():
        ended.extend(all_at_once(partial(delete_task, task, by=SYSTEM)))

    deleting = threading.Thread(target=delete)
    with transaction.atomic():
        Approval.objects.select_for_update(no_key=True).get(pk=approval.pk)
        deleting.start()
        wait_until(somebody_waits_for_a_lock)
        decide_approval(approval, approve=True, by=person)
    deleting.join()
    assert ended == [None]
    approval.refresh_from_db()
    assert (approval.status, list(approval.tasks.all())) == ("approved", [])


def test_unknown_tasks_are_refused_by_the_action_too(board):
    with pytest.raises(TaskNotFound):
        ask_approval(board, ApprovalRequest("x", "y", (uuid7(),)), by=SYSTEM)
