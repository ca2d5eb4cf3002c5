"""Agents at work over REST: started on tasks, stopped, paused, resumed; queues and capacity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent, Organization, Role, Scope
from agents.queries import find_agent
from agents.rest.authentication import Caller, authenticate, caller_of
from agents.rest.idempotency import IdempotentMixin, key_of, scope_for, start_once
from agents.rest.pagination import NewestFirst
from agents.rest.parsers import read_json
from agents.rest.permissions import TenantMixin, check_may
from agents.rest.plain_views import Operation, documented
from agents.rest.waiting import few_at_once
from agents.views.organizations import ORGANIZATION_ID, RoleInPath
from boards.errors import BoardNotFound, TaskNotFound
from boards.models import Board, Task
from boards.views.below import BOARD_ID
from executions import at_work, capacity, documents, queries
from executions.at_work import Terms
from executions.bodies import NothingSerializer, ResumeSerializer
from executions.direct import answer_accepted, door
from executions.models import Execution
from executions.serializers import AcceptedSerializer
from executions.views import AGENT_ID
from executions.work_bodies import (
    AgentStartSerializer,
    AtWorkSerializer,
    CapacitySerializer,
    QueuedSerializer,
    StopSerializer,
    TaskStartSerializer,
)

SHOWN = 100
TASK_ID = OpenApiParameter("task_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
Fields = dict[str, Any]


# --- starting ----------------------------------------------------------------------------------


async def _start_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Start an agent on a task, or on the next that is ready for it."""
    start = partial(_start, request, AgentStartSerializer, _of_agent, agent_id)
    return await few_at_once(door(), start)


async def _start_task(request: HttpRequest, board_id: UUID, task_id: UUID) -> HttpResponse:
    """Start an agent on the task of the path."""
    start = partial(_start, request, TaskStartSerializer, _of_task, board_id, task_id)
    return await few_at_once(door(), start)


def _start(
    request: HttpRequest,
    shape: type[serializers.Serializer[Any]],
    find: Callable[..., Callable[..., Execution]],
    *named: Any,
) -> HttpResponse:
    """Everything of a start that reads or writes rows; raises each of its refusals."""
    caller = authenticate(request)
    check_may(caller, Role.OPERATOR, Scope.RUN)
    key, body = key_of(request), read_json(request)
    serializer = shape(data=body)
    serializer.is_valid(raise_exception=True)
    fields: Fields = serializer.validated_data
    terms = Terms(fields["prompt"], may_queue=fields["queue"], priority=fields["priority"])

    def begin() -> UUID:
        # Here and not before: a repeat finds its execution, whatever has become of the task.
        return find(caller, fields, *named)(terms, by=caller.actor).id

    execution_id, is_repeat = start_once(scope_for(caller, request, body, key), begin)
    # Read again: dispatch has followed the commit, and a repeat may find it ended.
    execution = get_object_or_404(Execution.objects.defer("spec", "diff"), pk=execution_id)
    headers = {"Idempotency-Replayed": "true"} if is_repeat else {}
    return answer_accepted(execution, queries.queue_place(execution), headers)


def _of_agent(caller: Caller, fields: Fields, agent_id: str) -> Callable[..., Execution]:
    agent = find_agent(Agent.objects.filter(organization=caller.organization), agent_id)
    if fields["task"] is None:
        return partial(at_work.start_next, agent)
    tasks = Task.objects.select_related("board").filter(board__organization=caller.organization)
    task = tasks.filter(pk=fields["task"]).first()
    if task is None:
        text = "There is no such task in this organization."
        raise ValidationError({"task": [ErrorDetail(text, code="does_not_exist")]})
    return partial(at_work.start_on, task, agent)


def _of_task(
    caller: Caller, fields: Fields, board_id: UUID, task_id: UUID
) -> Callable[..., Execution]:
    board = Board.objects.filter(pk=board_id, organization=caller.organization).first()
    if board is None:
        raise BoardNotFound
    tasks = Task.objects.select_related("board", "assigned_agent", "handed_in_by")
    task = tasks.filter(pk=task_id, board=board).first()
    if task is None:
        raise TaskNotFound
    if fields["agent"] is None:
        return partial(at_work.start_on, task, at_work.agent_of(task))
    agents = Agent.objects.filter(organization=caller.organization)
    return partial(at_work.start_on, task, find_agent(agents, fields["agent"]))


_STARTING = """
The task becomes the agent's and moves to `in_progress` with the start, from `review` too. The run
is told the task (title, description, fields, what it waited for, the last comments), what the
board is for, and last `prompt`. `Location` is where to read how it goes; `queue` says where it
stands while it waits for a place.

Refused, with nothing changed: `AGENT_NOT_SEATED`, `TASK_DONE`, `TASK_BLOCKED` with
`blocked_by_task_ids`, `APPROVAL_PENDING`, `AGENT_ALREADY_RUNNING` where the task has a live
execution, `AGENT_RUNS_ITSELF` (409); `QUEUE_FULL` (429). With `queue: false` also
`AGENT_ALREADY_RUNNING` where the agent is at its limit, `AGENT_PAUSED`, `BOARD_PAUSED` (409), and
`CONCURRENCY_LIMIT_EXCEEDED` (429).

The same `Idempotency-Key` and body start one execution, however often they are sent; without a
key, equal requests within a few seconds do.
"""

start_agent = documented(
    _start_agent,
    post=Operation(
        operation_id="agents_start",
        summary="Start an agent on a task",
        description="Without `task`, on the first that is ready for it in the inbox of its "
        "board: its own before those of nobody, by priority, then as the column stands. There is "
        "none: 400 `AGENT_NO_AVAILABLE_TASK`.\n" + _STARTING,
        request=AgentStartSerializer,
        responses={202: AcceptedSerializer},
        parameters=[AGENT_ID],
        problems=(400,),
    ),
)
start_task = documented(
    _start_task,
    post=Operation(
        operation_id="boards_tasks_start",
        summary="Start work on a task",
        description="By `agent`; without one, by who has the task, or for one in review, by who "
        "handed it in. It is nobody's: 422.\n" + _STARTING,
        request=TaskStartSerializer,
        responses={202: AcceptedSerializer},
        parameters=[BOARD_ID, TASK_ID],
    ),
)


# --- stop, pause, resume -----------------------------------------------------------------------


def _controlled(summary: str, body: Any, description: str) -> Any:
    return extend_schema(
        summary=summary,
        description=description,
        parameters=[AGENT_ID],
        request=body,
        responses=AtWorkSerializer,
    )


class AgentAtWorkViewSet(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin, IdempotentMixin, viewsets.GenericViewSet[Agent]
):
    """What an operator asks of an agent and of all that it has at work."""

    queryset = Agent.objects.all()
    serializer_class = AtWorkSerializer
    required_scope = {"POST": Scope.RUN}

    @_controlled(
        "Stop an agent: cancel what it has at work",
        StopSerializer,
        "At once where nothing runs, at the next boundary where something does. Worktrees are "
        "kept, and tasks stay where they are. Nothing is at work: 400 `AGENT_NOT_RUNNING`. One "
        "execution is cancelled by its own address.",
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, agent_id: str) -> Response:
        return self._done(at_work.stop, StopSerializer)

    @_controlled(
        "Pause an agent",
        NothingSerializer,
        "Nothing of it starts, and what runs stands still at its next boundary, until the agent "
        "is resumed. To pause a paused agent changes nothing. One execution is paused by its own "
        "address.",
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, agent_id: str) -> Response:
        return self._done(at_work.pause, NothingSerializer)

    @_controlled(
        "Resume an agent",
        ResumeSerializer,
        "The agent goes on, and with it what stands still by its pause or by a person's: through "
        "the queue like any start, with the turns that it has had. `feedback` goes to the model "
        "first. What is paused at its turn limit or budget stays so: extend it. Neither the "
        "agent nor anything of it is paused: 400 `AGENT_NOT_RUNNING`.",
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, agent_id: str) -> Response:
        return self._done(at_work.resume, ResumeSerializer)

    def get_object(self) -> Agent:
        return find_agent(self.get_queryset(), self.kwargs["agent_id"])

    def _done(
        self,
        act: Callable[..., list[Execution]],
        shape: type[serializers.Serializer[Any]],
    ) -> Response:
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        agent = self.get_object()
        found = act(agent, by=caller_of(self.request).actor, **serializer.validated_data)
        agent.refresh_from_db(fields=["is_paused"])
        shown = [_at_work(execution) for execution in found[:SHOWN]]
        body = {"agent": agent.id, "is_paused": agent.is_paused, "count": len(found)}
        return Response(body | {"executions": shown})


def _at_work(execution: Execution) -> dict[str, Any]:
    shown = {
        "exec_id": execution.id,
        "exec_url": documents.address(execution.id),
        "task": execution.task_id,
        "status": execution.status,
    }
    reason = execution.pause_reason
    return shown | ({"pause_reason": reason} if reason else {})


# --- capacity and queue ------------------------------------------------------------------------


class ByRank(NewestFirst):
    """Pages of a queue in its order."""

    ordering = ("rank", "id")  # type: ignore[assignment]  # Two may have one rank.


@extend_schema(parameters=[BOARD_ID])
@extend_schema_view(
    capacity=extend_schema(
        operation_id="boards_capacity",
        summary="Read how much runs at once on a board, and what has the places",
        responses=CapacitySerializer,
    ),
    queue=extend_schema(
        operation_id="boards_queue_list",
        summary="List what waits for a place on a board, in the order of its queue",
        description="`position` counts from 1. The wait is the position times the median of the "
        "board's last 20 executions (5 minutes where none has ended), divided by its places; null "
        "while the agent or the board is paused.",
        responses=QueuedSerializer(many=True),
    ),
)
class BoardWorkViewSet(  # type: ignore[misc]  # As above.
    TenantMixin, viewsets.GenericViewSet[Execution]
):
    """How busy a board is."""

    queryset = Execution.objects.all()
    serializer_class = QueuedSerializer
    pagination_class = ByRank
    filterset_class = None

    @action(detail=False)
    def capacity(self, request: Request, board_id: UUID) -> Response:
        return Response(capacity.document(capacity.of_board(self._board())))

    @action(detail=False)
    def queue(self, request: Request, board_id: UUID) -> Response:
        board = self._board()
        line = capacity.in_line(board).select_related("task").only(*_QUEUED)
        rows = self.paginate_queryset(line) or []
        found = zip(rows, capacity.places(board, rows), strict=True)
        return self.get_paginated_response([capacity.queued(*each) for each in found])

    def _board(self) -> Board:
        board = Board.objects.filter(organization=self.organization, pk=self.kwargs["board_id"])
        found = board.first()
        if found is None:
            raise BoardNotFound
        return found


_QUEUED = (
    "id",
    "organization",
    "board",
    "agent",
    "agent_name",
    "task__title",
    "priority",
    "queued_at",
    "rank",
)


class OrganizationWorkViewSet(  # type: ignore[misc]  # As above.
    TenantMixin, viewsets.GenericViewSet[Organization]
):
    """How busy an organization is."""

    queryset = Organization.objects.all()
    permission_classes = (RoleInPath,)
    serializer_class = CapacitySerializer

    @extend_schema(
        operation_id="organizations_capacity",
        summary="Read how much runs at once in an organization, and what has the places",
        parameters=[ORGANIZATION_ID],
        responses=CapacitySerializer,
    )
    @action(detail=True)
    def capacity(self, request: Request, organization_id: str) -> Response:
        return Response(capacity.document(capacity.of_organization(self.organization)))
