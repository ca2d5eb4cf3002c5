"""Tool calls that wait for a person are found, shown and decided over REST, each once."""

from __future__ import annotations

from functools import cache, partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from agents import actions as of_agents
from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, Role, User
from boards.actions.approvals import AgentDecides
from executions import actions, tool_decisions
from executions.configuration import Wish
from executions.engine.sweep import sweep
from executions.models import Execution, Status, ToolCall
from tests.executions.asking import conforms, refused
from tests.executions.carrying import drive
from tests.executions.holding import ADA, ONE, at, calls_of, held_run, only_call
from tests.factories import (
    API,
    all_at_once,
    client_of,
    counted_queries,
    make_member,
    make_organization,
    signed_in,
)
from tests.starting import a_board, a_run, an_agent, script, tool

pytestmark = pytest.mark.django_db(transaction=True)

AWAITING = f"{API}/executions/tool-calls"


@pytest.fixture
def run() -> Execution:
    return held_run()


@pytest.fixture
def call(run: Execution) -> ToolCall:
    return only_call(run)


@pytest.fixture
def api(run: Execution) -> APIClient:
    """A key that may read and decide, and no more."""
    return client_of(run.organization, Role.OPERATOR, "read", "approve")


@cache
def schema() -> Any:
    return APIClient().get("/api/v0/schema/", {"format": "json"}).json()


# --- decided -----------------------------------------------------------------------------------


def test_approving_answers_the_ledgers_row_and_wakes_the_run(
    run: Execution, call: ToolCall, api: APIClient
) -> None:
    answer = api.post(at(call, "approve"), {})
    assert answer.status_code == 200, answer.json()
    conforms(schema(), "ToolCall", answer.json())
    shown = answer.json()
    assert (shown["id"], shown["decision"], shown["edited_arguments"]) == (
        str(call.id),
        "approved",
        None,
    )
    assert (shown["decided_by"]["kind"], shown["decided_digest"]) == (
        "key",
        shown["arguments_digest"],
    )
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    line = Activity.objects.get(type="approval.approved")
    assert (line.execution_id, line.agent_id, line.data["tool_call"]) == (
        run.id,
        run.agent_id,
        str(call.id),
    )
    asked = Activity.objects.get(type="approval.requested")
    assert (asked.actor_kind, asked.execution_id) == (ActorKind.AGENT, run.id)


def test_rejecting_asks_why(run: Execution, call: ToolCall, api: APIClient) -> None:
    for body in ({}, {"reason": ""}, {"reason": " \n"}, {"reason": 5}, {"reason": "x", "y": 1}):
        refused(api.post(at(call, "reject"), body), 422, "VALIDATION_FAILED")
    answer = api.post(at(call, "reject"), {"reason": "Not on a Friday."})
    shown = answer.json()
    assert (answer.status_code, shown["decision"]) == (200, "rejected")
    assert shown["decision_reason"] == "Not on a Friday."
    assert Activity.objects.get(type="approval.rejected").data["reason"] == "Not on a Friday."


def test_editing_shows_both(call: ToolCall, api: APIClient) -> None:
    shown = api.post(at(call, "approve"), {"arguments": {"command": "ls"}}).json()
    assert shown["arguments"] == call.arguments
    assert shown["edited_arguments"] == {"command": "ls"}
    assert shown["decided_digest"] != shown["arguments_digest"]
    assert Activity.objects.get(type="approval.approved").data["edited"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"comand": "ls"},
        {"command": 5},
        {"command": "ls", "more": True},
        {"command": "a\x00b"},
        {"command": "ls", "timeout": -1},
        "ls",
        ["ls"],
        None,
    ],
)
def test_edited_arguments_have_to_fit_the_tool(
    run: Execution, call: ToolCall, api: APIClient, arguments: Any
) -> None:
    problem = refused(
        api.post(at(call, "approve"), {"arguments": arguments}), 422, "VALIDATION_FAILED"
    )
    assert {error["field"].split(".")[0] for error in problem["errors"]} == {"arguments"}
    call.refresh_from_db()
    run.refresh_from_db()
    assert (call.decision, call.edited_arguments, run.status) == ("", None, Status.WAITING)


def test_who_saw_other_arguments_is_shown_the_present_ones(call: ToolCall, api: APIClient) -> None:
    problem = refused(api.post(at(call, "approve"), {"digest": "0" * 64}), 409, "ARGUMENTS_CHANGED")
    assert problem["arguments_digest"] == call.arguments_digest
    assert problem["arguments"] == call.arguments
    seen = {"digest": problem["arguments_digest"]}
    assert api.post(at(call, "approve"), seen).status_code == 200


def test_a_repeat_of_a_request_is_the_same_decision(call: ToolCall, api: APIClient) -> None:
    post = partial(api.post, at(call, "approve"), {}, headers={"Idempotency-Key": "k"})
    first, again = post(), post()
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_what_is_decided_says_by_whom_and_when(call: ToolCall, api: APIClient, second: str) -> None:
    tool_decisions.reject(call, by=ADA, reason="No.")
    problem = refused(
        api.post(at(call, second), {"reason": "x"} if second == "reject" else {}),
        409,
        "ALREADY_DECIDED",
    )
    call.refresh_from_db()
    assert problem["decision"] == "rejected"
    assert problem["decided_by"] == {"kind": "member", "name": "Ada"}
    assert problem["decision_reason"] == "No."
    assert problem["decided_at"]
    assert call.decider_name == "Ada"


def test_what_has_run_was_decided_too(run: Execution, call: ToolCall, api: APIClient) -> None:
    tool_decisions.approve(call, by=ADA)
    drive(run)
    refused(api.post(at(call, "reject"), {"reason": "Too late."}), 409, "ALREADY_DECIDED")


def test_of_two_at_once_one_decides(run: Execution, call: ToolCall) -> None:
    for _ in range(5):
        acts = [
            partial(tool_decisions.approve, call, by=ADA),
            partial(tool_decisions.reject, call, by=ADA, reason="No."),
        ] * 2
        answers = all_at_once(*acts)
        decided = [each for each in answers if isinstance(each, ToolCall)]
        assert len(decided) == 1, answers
        codes = {getattr(each, "code", None) for each in answers if each not in decided}
        assert codes == {"ALREADY_DECIDED"}
        sweep()  # Its row may have been held when the queue was walked.
        drive(run)
        assert run.status == Status.COMPLETED
        ran = only_call(run)
        assert (ran.decision, ran.runs) == (
            decided[0].decision,
            int(decided[0].decision == "approved"),
        )
        run = held_run()
        call = only_call(run)


def test_what_is_not_waited_for_any_more_is_not_decided(
    run: Execution, call: ToolCall, api: APIClient
) -> None:
    actions.cancel(run, by=ADA)
    problem = refused(api.post(at(call, "approve"), {}), 409, "EXECUTION_STATE")
    assert (problem["execution_status"], problem["tool_call_status"]) == (
        "cancelled",
        "interrupted",
    )
    assert "running" in problem["allowed"]
    assert "cancelling" not in problem["allowed"]


def test_a_call_that_needs_nobody_is_not_decided() -> None:
    run = held_run(tool("Read", path="none"))
    api = client_of(run.organization)
    problem = refused(api.post(at(only_call(run), "approve"), {}), 409, "EXECUTION_STATE")
    assert problem["tool_call_status"] == "error"


@pytest.mark.parametrize("whose", ["its own", "a neighbour's"])
@pytest.mark.parametrize("header", ["X-Agent-Token", "Authorization"])
@pytest.mark.parametrize("what", ["approve", "reject"])
def test_no_agent_decides(
    run: Execution, call: ToolCall, header: str, whose: str, what: str
) -> None:
    assert run.agent is not None
    agent = run.agent if whose == "its own" else an_agent(run.organization)
    _, token = of_agents.create_token(agent, by=SYSTEM)
    value = token if header == "X-Agent-Token" else f"Bearer {token}"
    body = {"reason": "I say so."} if what == "reject" else {}
    answer = APIClient().post(at(call, what), body, headers={header: value})
    refused(answer, 403, "AGENT_CANNOT_DECIDE")
    refused(APIClient().get(AWAITING, headers={header: value}), 403, "AGENTS_NOT_ALLOWED")
    call.refresh_from_db()
    assert call.decision == ""


def test_no_agent_decides_by_any_way(call: ToolCall) -> None:
    agent = Actor(ActorKind.AGENT, uuid4(), "Bot")
    with pytest.raises(AgentDecides):
        tool_decisions.approve(call, by=agent)
    with pytest.raises(AgentDecides):
        tool_decisions.reject(call, by=agent, reason="No.")


def test_who_decides_has_the_role_and_the_scope(run: Execution, call: ToolCall) -> None:
    organization = run.organization
    for role, scopes, code in [
        (Role.VIEWER, (), "ROLE_TOO_LOW"),
        (Role.OWNER, ("read", "run", "boards", "admin"), "SCOPE_MISSING"),
    ]:
        caller = client_of(organization, role, *scopes)
        refused(caller.post(at(call, "approve"), {}), 403, code)
    refused(APIClient().post(at(call, "approve"), {}), 401, "NOT_AUTHENTICATED")


def test_who_started_it_may_decide() -> None:
    organization = make_organization()
    member = make_member(organization, Role.OPERATOR)
    agent = an_agent(organization, approval_required=["Bash"])
    by = Actor(ActorKind.MEMBER, member.user_id, "Ann")
    run = actions.start(agent, Wish(prompt=script(ONE)), by=by)
    drive(run)
    person = signed_in(User.objects.get(pk=member.user_id))
    assert person.post(at(only_call(run), "approve"), {}).status_code == 200


def test_another_organization_finds_nothing(run: Execution, call: ToolCall) -> None:
    stranger = client_of(make_organization())
    for what in ("approve", "reject"):
        refused(
            stranger.post(at(call, what), {"reason": "x"} if what == "reject" else {}),
            404,
            "NOT_FOUND",
        )
    assert stranger.get(AWAITING).json()["results"] == []


def test_a_call_of_another_execution_is_not_there(run: Execution, call: ToolCall) -> None:
    other = a_run(an_agent(run.organization), {"say": "x"})
    path = at(call, "approve").replace(str(run.id), str(other.id))
    refused(client_of(run.organization).post(path, {}), 404, "NOT_FOUND")


# --- found -------------------------------------------------------------------------------------


def waiting_in(organization: Any, count: int, **wish: Any) -> list[ToolCall]:
    agent = an_agent(organization, approval_required=["Bash"])
    runs = [a_run(agent, ONE, **wish) for _ in range(count)]
    for run in runs:
        drive(run)
    return [only_call(run) for run in runs]


def test_an_organizations_waiting_calls_are_listed_newest_first() -> None:
    organization = make_organization()
    api, board = client_of(organization, Role.VIEWER), a_board(organization)
    first, second = waiting_in(organization, 2)
    (on_board,) = waiting_in(organization, 1, board=board)
    waiting_in(make_organization(), 1)
    tool_decisions.approve(first, by=ADA)
    held_run()
    rows = api.get(AWAITING).json()["results"]
    assert [row["id"] for row in rows] == [str(on_board.id), str(second.id)]
    conforms(schema(), "AwaitingCall", rows[0])
    run = on_board.execution
    assert (rows[0]["execution"], rows[0]["agent"], rows[0]["agent_name"], rows[0]["board"]) == (
        str(run.id),
        str(run.agent_id),
        run.agent_name,
        str(board.id),
    )
    assert rows[0]["arguments"] == on_board.arguments
    assert rows[0]["execution_status"] == "waiting"

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in api.get(AWAITING, query).json()["results"]]

    assert ids(board=board.id) == ids(agent=run.agent_id) == [str(on_board.id)]
    assert ids(status="awaiting_approval") == [str(on_board.id), str(second.id)]
    assert ids(limit=1) == [str(on_board.id)]
    refused(api.get(AWAITING, {"status": "running"}), 422, "VALIDATION_FAILED")
    refused(api.get(AWAITING, {"colour": "red"}), 400, "UNKNOWN_PARAMETER")
    actions.cancel(second.execution, by=ADA)
    assert ids() == [str(on_board.id)]


def test_the_list_costs_the_same_however_long_it_is() -> None:
    organization = make_organization()
    api, costs = client_of(organization, Role.VIEWER), []
    for _ in range(2):
        waiting_in(organization, 3)
        api.get(AWAITING)
        with counted_queries() as asked:
            assert api.get(AWAITING).status_code == 200
        costs.append(len(asked))
    assert costs[0] == costs[1]
    listed = next(q["sql"] for q in asked.captured_queries if "tool" in q["sql"])
    assert '"spec"' not in listed


def test_the_calls_of_an_execution_are_filtered_by_status() -> None:
    run = held_run(tool("Read", path="none"), ONE)
    api = client_of(run.organization, Role.VIEWER)
    path = f"{API}/executions/agents/{run.id}/tool-calls"

    def names(status: str) -> list[str]:
        return [row["name"] for row in api.get(path, {"status": status}).json()["results"]]

    assert names("awaiting_approval") == ["Bash"]
    assert names("error") == ["Read"]
    assert names("awaiting_approval,error") == ["Read", "Bash"]
    refused(api.get(path, {"status": "lost"}), 422, "VALIDATION_FAILED")


def test_an_execution_says_which_call_waits_and_how_to_decide(
    run: Execution, call: ToolCall, api: APIClient
) -> None:
    document = api.get(f"{API}/executions/agents/{run.id}").json()
    (condition,) = document["wait"]["conditions"]
    assert (condition["kind"], condition["name"], condition["target"]) == (
        "tool_call",
        "Bash",
        str(call.id),
    )
    explained = api.get(f"{API}/executions/agents/{run.id}/explain").json()
    assert "It waits for a person's decision on its call of Bash" in explained["summary"]
    assert f"POST {at(call, 'approve')}" in explained["summary"]
    assert f"{at(call, 'reject')} with a reason" in explained["summary"]
    actions.pause(run, by=ADA)
    explained = api.get(f"{API}/executions/agents/{run.id}/explain").json()
    assert "its call of Bash" in explained["summary"]


def test_a_call_that_is_decided_is_not_explained_as_open(
    run: Execution, call: ToolCall, api: APIClient
) -> None:
    actions.pause(run, by=ADA)
    tool_decisions.approve(call, by=ADA)
    explained = api.get(f"{API}/executions/agents/{run.id}/explain").json()
    assert "/approve" not in explained["summary"]
    assert [call.decision for call in calls_of(run)] == ["approved"]
