"""One thing at least of every kind that a path or a body can name, under its name there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone

from agents.actions import ping
from agents.activity import SYSTEM
from agents.messages import Letter, send
from agents.models import Gateway, Message, MessageKind, MessageState
from boards.actions import ApprovalRequest, ask_approval, remember
from boards.actions.custom_fields import create_field
from boards.actions.interviewing import ask_question
from boards.actions.labels import create_tag
from boards.actions.questions import Question, ask_people
from executions import actions
from executions.configuration import Wish
from executions.models import CallStatus, Checkpoint, Execution, Job, PauseReason, Status, ToolCall
from executions.states import move
from tests.boards.agents import World
from tests.boards.nudging import make_schedule
from tests.factories import acting, make_agent, make_endpoint, make_key, make_member, make_user

Known = Mapping[str, Sequence[UUID | str | int]]

# What a name in a body is an id of; a name that is not here is left as it was drawn.
IN_BODIES = {
    "task_id": "task_id",
    "task": "task_id",
    "after": "task_id",
    "task_ids": "task_id",
    "depends_on_task_ids": "task_id",
    "agent": "agent_id",
    "agents": "agent_id",
    "assigned_agent": "agent_id",
    "assigned_agent_id": "agent_id",
    "board": "board_id",
    "boards": "board_id",
    "board_ids": "board_id",
    "tag_ids": "tag_id",
    "gateway": "gateway_id",
    "username": "username",
}


def everything(world: World) -> Known:
    """The ids by the names of the paths' parameters, and `username` of somebody new."""
    organization, board = world.organization, world.board
    tasks = [
        world.task(status="review", assigned_agent=world.worker),
        world.task(),
        world.task(depends_on_task_ids=[world.task().id]),
    ]
    worker = acting(world.worker)
    asked = ApprovalRequest("release", "It is tested.", task_ids=(tasks[0].id,))
    field = create_field(organization, {"key": "k", "name": "K", "boards": [board.id]}, by=SYSTEM)
    executions = _executions(world)
    endpoint = make_endpoint(organization)
    world.begin_onboarding()
    ask_question(board, "Whom does it serve?", by=acting(world.main))
    return {
        "organization_id": [organization.id],
        "board_id": [board.id, board.id, world.other_board.id],
        "agent_id": [world.worker.id, make_agent(organization).id],
        "gateway_id": [world.gateway.id, _unused_gateway(world).id],
        "endpoint_id": [endpoint.id, make_endpoint(organization).id],
        "delivery_id": [ping(endpoint, by=SYSTEM).id for _ in range(2)],
        "webhook_id": [world.webhook.id],
        "payload_id": [world.payload.id],
        "task_id": [task.id for task in tasks],
        "approval_id": [ask_approval(board, asked, by=worker).id],
        "memory_id": [remember(board, "Barn owls.", by=worker).id],
        "seat_id": [world.worker.seat.id],
        "field_id": [field.id],
        "tag_id": [create_tag(organization, {"name": "owls"}, by=SYSTEM).id],
        "schedule_id": [make_schedule(board).id for _ in range(2)],
        "key_id": [make_key(organization)[0].id],
        "member_id": [make_member(organization).id for _ in range(2)],
        "username": [make_user().username],
        "message_id": [message.id for message in _messages(world)],
        "exec_id": [execution.id for execution in executions],
        "job_id": [_job(executions[0]).id],
        "call_id": [_held_call(execution).id for execution in executions[:3]],
        "sequence": [1],
        # Of a signal.
        "name": ["say"],
    }


def _messages(world: World) -> list[Message]:
    """One in each agent's inbox, a question to people, one that failed."""
    letters = [
        Letter(MessageKind.NUDGE, "Go on.", agent)
        for agent in (world.main, world.lead, world.worker, world.worker)
    ]
    sent = [send(world.organization, letter, by=SYSTEM) for letter in letters]
    Message.objects.filter(pk=sent[-1].pk).update(state=MessageState.FAILED)
    return [*sent, ask_people(world.board, Question("Which wood?"), by=acting(world.lead))]


def _executions(world: World) -> list[Execution]:
    """One that is queued, one that is paused, one at its limit, one that is over."""
    agent = make_agent(world.organization)
    queued, paused, limited, over = (
        actions.start(agent, Wish(prompt=f"Count {number}."), by=SYSTEM) for number in range(4)
    )
    move(paused, Status.PAUSED, event="execution.paused", pause_reason=PauseReason.OPERATOR)
    move(limited, Status.PAUSED, event="execution.paused", pause_reason=PauseReason.TURN_LIMIT)
    # It can be read, retried and forked.
    Checkpoint.objects.create(execution=over, sequence=1, position=1, turn=1)
    actions.cancel(over, by=SYSTEM)
    return [queued, paused, limited, over]


def _job(execution: Execution) -> Job:
    return Job.objects.create(
        execution=execution, key="a", kind="index", digest="", due_at=timezone.now()
    )


def _held_call(execution: Execution) -> ToolCall:
    """A tool call that waits for a person."""
    return ToolCall.objects.create(
        execution=execution,
        reply_position=1,
        position=1,
        turn=1,
        call_id="c",
        name="Bash",
        arguments={"command": "make"},
        arguments_digest="",
        needs_approval=True,
        status=CallStatus.AWAITING_APPROVAL,
    )


def _unused_gateway(world: World) -> Gateway:
    return Gateway.objects.create(organization=world.organization, name="Another inbox")


def with_known(value: Any, name: str, known: Known, choose: Any) -> Any:
    """The body with what it names by id taken from what is known, as `choose` picks of a list."""
    if isinstance(value, dict):
        return {key: with_known(each, key, known, choose) for key, each in value.items()}
    if isinstance(value, list):
        return [with_known(each, name, known, choose) for each in value]
    if name not in IN_BODIES or not isinstance(value, str):
        return value
    return str(choose([*known[IN_BODIES[name]], value]))
