"""Agents that Signalbox runs call the operations of the agent API as tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from uuid_utils.compat import uuid7

from agents.activity import SYSTEM
from agents.models import Activity, Agent, IdempotencyKey, LiveWork, Message, SoulVersion
from agents.runtime.tools.registry import Toolbox
from boards.agent_api import tool_operations, tools
from boards.agent_api.hints import HINTS, NO_TOOLS, TOOL_NAMES, Role
from boards.agent_api.schema import of_role
from boards.agent_api.tool_operations import operations
from boards.models import Approval, Comment, MemoryEntry, Seat, Task
from executions import actions
from executions.configuration import Wish
from executions.engine import claim as claims
from executions.engine.sweep import sweep
from executions.engine.toolcalls import REPEATED_WITHIN
from executions.models import CallStatus, Event, Execution, Status, ToolCall
from executions.starts import start_inline
from tests.boards.agents import World, with_token
from tests.executions.board_tools import a_world, answered, asked, begun, played
from tests.executions.carrying import drive
from tests.model_server import Answer as ModelAnswer
from tests.model_server import ModelServer
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return a_world()


# --- every operation -----------------------------------------------------------------------------

Arguments = Callable[[World], dict[str, Any]]


def _a_task(world: World) -> dict[str, Any]:
    return {"task_id": str(world.task().id)}


def _in_review(world: World) -> dict[str, Any]:
    return {"task_id": str(world.task(status="review").id)}


def _the_worker(world: World) -> dict[str, Any]:
    return {"agent_id": str(world.worker.id)}


CALLS: dict[str, Arguments] = {
    "agent_auth_health": lambda _: {},
    "agent_board_discovery": lambda _: {},
    "agent_board_lookup": lambda _: {},
    "agent_roster_discovery": lambda _: {"limit": 2},
    "agent_board_task_discovery": lambda _: {
        "status": ["inbox", "review"],
        "unassigned": True,
    },
    "agent_board_tag_discovery": lambda _: {},
    "agent_board_webhook_payload_read": lambda world: {
        "webhook_id": str(world.webhook.id),
        "payload_id": str(world.payload.id),
        "max_chars": 4,
    },
    "agent_lead_create_task": lambda world: {
        "title": "Count at night",
        "depends_on_task_ids": [str(world.task().id)],
        "custom_field_values": {},
    },
    "agent_task_update": lambda world: {**_a_task(world), "custom_field_values": {}},
    "agent_task_delete": _a_task,
    "agent_board_task_claim": _a_task,
    "agent_task_comment_discovery": _a_task,
    "agent_task_comment_create": lambda world: {**_in_review(world), "content": "Twelve."},
    "agent_board_memory_discovery": lambda _: {"is_chat": False},
    "agent_board_memory_record": lambda _: {"content": "Barn owls.", "tags": ["owls"]},
    "agent_board_approval_discovery": lambda _: {"status": "pending"},
    "agent_board_approval_request": lambda world: {
        "action_type": "release",
        "reason": "It is tested.",
        "confidence": 80,
        **_a_task(world),
    },
    "agent_board_onboarding_update": lambda world: {
        "board_id": str(world.board.id),
        "question": "Whom does it serve?",
    },
    "agent_lead_create_agent": lambda _: {"name": "Tess", "tools": ["Read"]},
    "agent_lead_nudge_agent": lambda world: {**_the_worker(world), "message": "Go on."},
    "agent_board_soul_lookup": _the_worker,
    "agent_lead_update_agent_soul": lambda world: {**_the_worker(world), "content": "Be kind."},
    "agent_lead_delete_board_agent": _the_worker,
    "agent_lead_ask_user_via_gateway_main": lambda _: {"content": "Which wood?"},
    "agent_main_message_board_lead": lambda world: {
        "board_id": str(world.board.id),
        "kind": "question",
        "content": "How many?",
    },
    "agent_main_broadcast_lead_message": lambda _: {"content": "We freeze."},
}


def test_every_operation_is_a_tool_or_says_why_not() -> None:
    assert set(CALLS) == set(TOOL_NAMES)
    assert set(TOOL_NAMES) | set(NO_TOOLS) == set(HINTS)
    for role in Role:
        in_schema = {
            found["operationId"]
            for methods in of_role(role)["paths"].values()
            for found in methods.values()
        }
        assert {each.name for each in operations(role)} == in_schema - set(NO_TOOLS)


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_each_role_calls_what_is_its_own_and_no_more(world: World, name: str) -> None:
    world.begin_onboarding()
    # Who may, last: one of the operations removes the worker.
    for role in sorted(Role, key=lambda role: role in HINTS[name].roles):
        agent: Agent = getattr(world, role)
        arguments = CALLS[name](world)
        if role is Role.MAIN and name == "agent_board_lookup":
            arguments["board_id"] = str(world.board.id)
        if role in HINTS[name].roles:
            answered(asked(agent, name, **arguments))
        else:
            call = asked(agent, name, **arguments)
            assert (call.status, call.output) == (
                CallStatus.DENIED,
                f"The tool {name} is not allowed for this agent.",
            )
            assert not call.runs


# --- work ----------------------------------------------------------------------------------------


def test_a_lead_gives_work_comments_and_asks_for_an_approval(world: World) -> None:
    made = answered(asked(world.lead, "agent_lead_create_task", title="Count at night"))
    assert made["auto_reason"] == f"lead_agent:{world.lead.id}"
    task = Task.objects.get(pk=made["id"])
    run = begun(
        world.lead,
        tool(
            "agent_task_update",
            task_id=str(task.id),
            assigned_agent_id=str(world.worker.id),
            status="in_progress",
        ),
        tool("agent_task_comment_create", task_id=str(task.id), content="@Wim, by ear."),
        tool(
            "agent_board_approval_request",
            action_type="release",
            reason="Counted.",
            task_id=str(task.id),
        ),
    )
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    task.refresh_from_db()
    assert (task.status, task.assigned_agent_id) == ("in_progress", world.worker.id)
    assert Comment.objects.get(task=task).author_id == world.lead.id
    approval = Approval.objects.get(board=world.board)
    assert (approval.requester_kind, approval.requester_id) == ("agent", world.lead.id)
    assert (approval.status, approval.execution_id) == ("pending", run.id)
    by = set(Activity.objects.filter(task_id=task.id).values_list("actor_kind", "actor_id"))
    assert by == {("agent", world.lead.id)}
    told = Event.objects.filter(execution=run, type__startswith="tool.").order_by("seq")
    assert list(told.values_list("type", flat=True)) == ["tool.started", "tool.finished"] * 3
    # Its run needs no files for all that.
    assert not run.tree


@pytest.mark.parametrize("ending", ["cancelled", "failed", "completed"])
def test_what_a_run_asked_is_taken_back_unless_it_ends_well(world: World, ending: str) -> None:
    ask = tool("agent_board_approval_request", action_type="release", reason="Counted.")
    last = {"fail": "MODEL_ERROR"} if ending == "failed" else tool("agent_board_lookup")
    run = begun(world.worker, ask, last, {"say": "Done."})
    approval = _asked_by(run, stop=ending == "cancelled")
    assert run.status == ending
    assert approval.status == ("pending" if ending == "completed" else "withdrawn")
    line = Activity.objects.get(type="approval.requested")
    assert (line.execution_id, line.agent_id) == (run.id, world.worker.id)


def _asked_by(run: Execution, *, stop: bool) -> Approval:
    """The approval that a run asks for, which is cancelled as soon as it has, or goes on."""
    original = Toolbox.carry_out

    def carry_out(self: Toolbox, request: Any, workspace: Any) -> Any:
        result = original(self, request, workspace)
        if stop:
            actions.cancel(Execution.objects.get(pk=run.pk), by=SYSTEM)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toolbox, "carry_out", carry_out)
        drive(run)
    run.refresh_from_db()
    return Approval.objects.get(execution_id=run.id)


def test_what_an_agent_asks_with_its_token_is_of_no_run(world: World) -> None:
    body = {"action_type": "release", "reason": "Counted.", "execution": str(uuid7())}
    api = with_token(world.worker)
    assert api.post(f"{world.home}/approvals", body).status_code == 422
    del body["execution"]
    assert api.post(f"{world.home}/approvals", body).json()["execution"] is None


def test_pages_are_short_and_lead_to_the_next_by_a_cursor(world: World) -> None:
    for _ in range(tools.tool_schema.PAGE + 1):
        world.task()
    first = answered(asked(world.worker, "agent_board_task_discovery"))
    assert len(first["results"]) == tools.tool_schema.PAGE
    second = answered(asked(world.worker, "agent_board_task_discovery", cursor=first["next"]))
    assert (len(second["results"]), second["next"]) == (1, None)


# --- refusals ------------------------------------------------------------------------------------


def refused(call: ToolCall, code: str, status: str = CallStatus.ERROR) -> str:
    assert (call.status, call.output.partition(":")[0]) == (status, code), call.output
    return call.output


def test_ids_of_elsewhere_lead_nowhere(world: World) -> None:
    theirs = Task.objects.create(board=world.other_board, title="Theirs")
    strangers = Task.objects.create(board=world.stranger_board, title="A stranger's")
    for task in (theirs, strangers):
        call = asked(world.worker, "agent_board_task_claim", task_id=str(task.id))
        refused(call, "NOT_FOUND")
        task.refresh_from_db()
        assert task.assigned_agent_id is None
    call = asked(world.lead, "agent_lead_nudge_agent", agent_id=str(world.stranger.id), message="!")
    refused(call, "AGENT_NOT_FOUND")
    board = str(world.stranger_board.id)
    refused(asked(world.main, "agent_board_lookup", board_id=board), "BOARD_NOT_FOUND")


@pytest.mark.parametrize("path", ["../../../approvals", "x", "", "0199-x/approve"])
def test_an_id_that_is_none_is_told_and_leads_to_no_other_address(world: World, path: str) -> None:
    call = asked(world.worker, "agent_task_comment_discovery", task_id=path)
    assert call.status == CallStatus.ERROR
    assert "task_id: " in call.output


def test_a_board_cannot_be_given_by_who_has_a_seat(world: World) -> None:
    call = asked(world.worker, "agent_board_lookup", board_id=str(world.other_board.id))
    assert call.status == CallStatus.ERROR
    assert "'board_id' was unexpected" in call.output


def test_a_gate_tells_what_stands_in_the_way(world: World) -> None:
    first = world.task()
    task = world.task(depends_on_task_ids=[first.id])
    call = asked(world.worker, "agent_board_task_claim", task_id=str(task.id))
    assert str(first.id) in refused(call, "TASK_BLOCKED")
    ready = world.task(status="review")
    call = asked(world.lead, "agent_task_update", task_id=str(ready.id), status="done")
    refused(call, "APPROVAL_REQUIRED")
    ready.refresh_from_db()
    assert ready.status == "review"


def test_values_that_do_not_fit_are_named(world: World) -> None:
    call = asked(world.lead, "agent_lead_create_task", title="   ", due_at="soon")
    told = refused(call, "VALIDATION_FAILED")
    assert "title: " in told
    assert "due_at: " in told
    call = asked(world.lead, "agent_lead_create_task", name="x")
    assert "'title' is a required property" in call.output
    call = asked(world.lead, "agent_lead_create_agent", name="x", tools=["Reed"])
    assert "agent_task_update" in refused(call, "UNKNOWN_TOOL")


def test_a_part_is_offered_only_the_fields_that_it_may_send(world: World) -> None:
    call = asked(world.worker, "agent_task_update", **_a_task(world), title="Another")
    assert "'title' was unexpected" in call.output
    call = asked(world.lead, "agent_task_update", **_a_task(world), comment="So.")
    assert "'comment' was unexpected" in call.output


def test_who_lost_the_seat_in_between_is_refused_as_by_the_api(world: World) -> None:
    def lose(*_: Any) -> None:
        Seat.objects.filter(agent=world.lead).delete()

    run = begun(world.lead, tool("agent_lead_create_task", title="Too late"))
    with _before_the_call(lose):
        drive(run)
    (call,) = ToolCall.objects.filter(execution=run)
    refused(call, "LEADS_ONLY", CallStatus.DENIED)
    assert not Task.objects.exists()


def test_who_is_deleted_in_between_does_nothing_any_more(world: World) -> None:
    def remove(*_: Any) -> None:
        LiveWork.objects.filter(agent=world.lead).update(agent=None)
        Agent.objects.filter(pk=world.lead.pk).delete()

    run = begun(world.lead, tool("agent_lead_create_task", title="Too late"))
    with _before_the_call(remove):
        drive(run)
    (call,) = ToolCall.objects.filter(execution=run)
    refused(call, "AGENT_NOT_FOUND", CallStatus.DENIED)
    assert not Task.objects.exists()


@contextmanager
def _before_the_call(act: Callable[[], Any]) -> Iterator[None]:
    """Do it once the call is `running`, before its tool starts."""
    start = claims.start_call

    def started(*arguments: Any, **more: Any) -> int:
        seq = start(*arguments, **more)
        act()
        return seq

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "start_call", started)
        yield


# --- who has them --------------------------------------------------------------------------------


def test_a_run_that_may_use_none_makes_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_operations, "_made", None)
    Agent.objects.filter(pk=world.worker.pk).update(tools=["Glob"])
    world.worker.refresh_from_db()
    call = asked(world.worker, "agent_board_lookup")
    assert (call.status, call.runs) == (CallStatus.DENIED, 0)


def test_names_of_board_tools_can_be_allowed_one_by_one(world: World) -> None:
    Agent.objects.filter(pk=world.lead.pk).update(tools=["agent_board_lookup"])
    world.lead.refresh_from_db()
    found, other = played(
        world.lead, tool("agent_board_lookup"), tool("agent_lead_create_task", title="No")
    )
    assert answered(found)["name"] == "Owls"
    assert other.status == CallStatus.DENIED


def test_who_runs_without_an_agent_has_no_board_tools(world: World) -> None:
    made = Agent(organization=world.organization, name="x", model="scripted:play", tools=["*"])
    prompt = script(tool("agent_board_lookup"))
    run = start_inline(made, Wish(prompt=prompt, board=world.board), by=SYSTEM)
    drive(run)
    assert ToolCall.objects.get(execution=run).status == CallStatus.DENIED


# --- a worker that is lost in the middle ---------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


def _dies_before_it_tells(run: Execution) -> None:
    """The call takes effect, and its worker is lost before the outcome is kept."""

    def lost(*_: Any, **__: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toolbox, "carry_out", _then(Toolbox.carry_out, lost))
        with pytest.raises(Died):
            drive(run)
    connection.close()


def _then(original: Callable[..., Any], follows: Callable[..., None]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        original(*arguments)
        follows()

    return both


def _goes_on(run: Execution) -> ToolCall:
    """The lease runs out and another claim carries the run on: its one call."""
    long_ago = timezone.now() - timedelta(hours=1)
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=long_ago)
    sweep()
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    return ToolCall.objects.get(execution=run)


Effects = Callable[[World], int]

CHANGES: dict[str, tuple[str, Effects]] = {
    # POST, PATCH, PUT, DELETE; what is counted is there once.
    "agent_board_memory_record": ("lead", lambda _: MemoryEntry.objects.count()),
    "agent_lead_create_agent": ("lead", lambda _: Agent.objects.filter(name="Tess").count()),
    "agent_lead_nudge_agent": ("lead", lambda _: Message.objects.filter(kind="nudge").count()),
    "agent_task_update": ("worker", lambda _: Comment.objects.count()),
    "agent_lead_update_agent_soul": ("lead", lambda _: SoulVersion.objects.count()),
    "agent_task_delete": (
        "lead",
        lambda _: Activity.objects.filter(type="task.deleted").count(),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_made_once_although_its_worker_is_lost(world: World, name: str) -> None:
    part, effects = CHANGES[name]
    arguments = CALLS[name](world)
    if name == "agent_task_update":
        arguments["comment"] = "On it."
    before = effects(world)
    run = begun(getattr(world, part), tool(name, **arguments))
    _dies_before_it_tells(run)
    assert effects(world) == before + 1
    call = _goes_on(run)
    assert effects(world) == before + 1
    assert (call.status, call.runs) == (CallStatus.COMPLETE, 2), call.output


def test_a_call_that_began_long_ago_is_not_made_again(world: World) -> None:
    run = begun(world.lead, tool("agent_board_memory_record", content="Barn owls."))
    _dies_before_it_tells(run)
    # Its key may have been forgotten by then.
    calls = ToolCall.objects.filter(execution=run)
    calls.update(started_at=F("started_at") - REPEATED_WITHIN)
    IdempotencyKey.objects.all().delete()
    assert _goes_on(run).status == CallStatus.UNKNOWN
    assert MemoryEntry.objects.count() == 1


def test_a_call_is_counted_from_its_first_start(world: World) -> None:
    run = begun(world.lead, tool("agent_board_memory_record", content="Barn owls."))
    _dies_before_it_tells(run)
    first = ToolCall.objects.get(execution=run).started_at
    assert _goes_on(run).started_at == first


def test_a_change_is_not_made_again_on_another_board(world: World) -> None:
    run = begun(world.worker, tool("agent_board_memory_record", content="Barn owls."))
    _dies_before_it_tells(run)
    Seat.objects.filter(agent=world.worker).update(board=world.other_board)
    assert _goes_on(run).status == CallStatus.UNKNOWN
    assert MemoryEntry.objects.count() == 1


# --- what models are told ------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "openai-responses", "anthropic"])
@pytest.mark.parametrize("part", Role)
def test_providers_are_offered_them_and_their_calls_are_carried_out(
    world: World, provider: str, part: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    agent: Agent = getattr(world, part)
    with ModelServer() as server:
        url = server.url if provider == "anthropic" else server.openai_url
        Agent.objects.filter(pk=agent.pk).update(
            model=f"{provider}:any", model_settings={"base_url": url}
        )
        agent.refresh_from_db()
        server.plan(ModelAnswer("", tools=(("agent_auth_health", {}),)), ModelAnswer("Done."))
        (call,) = played(agent)
        assert answered(call)["agent_id"] == str(agent.id)
        offered = {_name(each) for each in server.requests[0].body["tools"]}
    assert {each.name for each in operations(part)} <= offered


def _name(offered: dict[str, Any]) -> str:
    return str(offered.get("function", offered)["name"])
