"""Reading and controlling executions over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent, Scope
from agents.queries import find_agent
from agents.rest.authentication import caller_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import TenantMixin
from executions import actions, documents, explanation, lines, queries, wholes
from executions.bodies import (
    CancelSerializer,
    ExtendSerializer,
    NothingSerializer,
    ResumeSerializer,
)
from executions.errors import CheckpointNotFound
from executions.explanation_serializers import ExplanationSerializer
from executions.filters import (
    AgentExecutionFilter,
    ChildFilter,
    EntryFilter,
    EventFilter,
    ExecutionFilter,
    JobFilter,
    ToolCallFilter,
)
from executions.job_serializers import ListedJobSerializer
from executions.models import Checkpoint, Entry, Event, Execution, Job, Status, ToolCall
from executions.serializers import DiffSerializer, ExecutionSerializer, ListedExecutionSerializer
from executions.starting import StartingMixin
from executions.transcript_serializers import (
    CheckpointSerializer,
    CheckpointStateSerializer,
    EntrySerializer,
    EventSerializer,
    OffsetSerializer,
    ToolCallSerializer,
    WholeOutputSerializer,
)

Row = TypeVar("Row", bound=Model)

EXEC_ID = OpenApiParameter("exec_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
CALL_ID = OpenApiParameter(
    "call_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The `id` of the tool call."
)
AGENT_ID = OpenApiParameter(
    "agent_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="An agent's id or slug."
)
_CHANGING = ("POST", "DELETE")


def _controlled(operation_id: str, summary: str, body: Any, description: str = "") -> Any:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description or summary,
        request=body,
        responses=ExecutionSerializer,
    )


@extend_schema_view(
    list=extend_schema(operation_id="executions_list", summary="List executions, newest first"),
    retrieve=extend_schema(operation_id="executions_read", summary="Read an execution"),
    destroy=extend_schema(
        operation_id="executions_delete",
        summary="Cancel an execution; its rows stay",
        responses={200: ExecutionSerializer, 202: ExecutionSerializer},
    ),
)
class ExecutionViewSet(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin,
    StartingMixin,
    IdempotentMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[Execution],
):
    """Executions of one organization. What changes them calls an action and answers the document.

    A change that the state does not allow is 409 `EXECUTION_STATE` with `status` and `allowed`.
    """

    queryset = Execution.objects.all()
    serializer_class = ExecutionSerializer
    filterset_class: Any = ExecutionFilter
    required_scope = {**dict.fromkeys(_CHANGING, Scope.RUN), "reject": Scope.APPROVE}
    lookup_url_kwarg = "exec_id"

    def get_queryset(self) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset()
        rows = queries.with_conditions(rows)
        return queries.as_listed(rows) if self.action == "list" else rows.defer("spec", "diff")

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return ListedExecutionSerializer if self.action == "list" else ExecutionSerializer

    def retrieve(self, request: Request, exec_id: UUID) -> Response:
        return self._answer(self.get_object())

    def destroy(self, request: Request, exec_id: UUID) -> Response:
        return self._cancel()

    @extend_schema(
        operation_id="executions_cancel",
        summary="Cancel an execution",
        description="At once where nothing runs (200); by its worker where something does (202): "
        "at the next boundary, or with `hard` in the middle of the model call or tool.",
        request=CancelSerializer,
        responses={200: ExecutionSerializer, 202: ExecutionSerializer},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, exec_id: UUID) -> Response:
        return self._cancel(CancelSerializer)

    @_controlled(
        "executions_pause",
        "Pause an execution",
        NothingSerializer,
        "At once where nothing runs; where something does, at its next boundary.",
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, exec_id: UUID) -> Response:
        self._body(NothingSerializer)
        return self._done(actions.pause)

    @_controlled(
        "executions_resume",
        "Resume a paused execution",
        ResumeSerializer,
        "It goes through the queue like any start; `feedback` goes to the model first, "
        "and to a run that waits for people as something that they said.",
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, exec_id: UUID) -> Response:
        return self._done(actions.resume, **self._body(ResumeSerializer))

    @_controlled(
        "executions_extend",
        "Give an execution more turns, tokens or seconds",
        ExtendSerializer,
        "One that is paused at its turn limit or budget goes on, if that will do. Of what has no "
        "limit it has enough already.",
    )
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, exec_id: UUID) -> Response:
        return self._done(actions.extend, **self._body(ExtendSerializer))

    @_controlled(
        "executions_finish",
        "End a paused execution as it is",
        NothingSerializer,
        "Only where it is paused at its turn limit or budget. It is completed, and its output is "
        "the last thing that the agent said.",
    )
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, exec_id: UUID) -> Response:
        self._body(NothingSerializer)
        return self._done(actions.finish)

    @extend_schema(
        operation_id="executions_diff",
        summary="Read what an execution changed in its files",
        responses=DiffSerializer,
    )
    @action(detail=True)
    def diff(self, request: Request, exec_id: UUID) -> Response:
        return Response(documents.changes(self.get_object()))

    @extend_schema(
        operation_id="executions_explain",
        summary="Read why an execution is not running",
        description="In sentences for people, and the same in codes and facts: what blocks it in "
        "the queue, what it waits for, who paused it and what would let it go on, what its worker "
        "is, how it ended.",
        responses=ExplanationSerializer,
    )
    @action(detail=True)
    def explain(self, request: Request, exec_id: UUID) -> Response:
        return Response(explanation.explain(self.get_object()))

    def _cancel(self, shape: type[serializers.Serializer[Any]] | None = None) -> Response:
        asked = self._body(shape) if shape else {"reason": "", "hard": False}
        return self._done(actions.cancel, reason=asked["reason"], is_hard=asked["hard"])

    def _body(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _done(self, act: Callable[..., Execution], **asked: Any) -> Response:
        execution = act(self.get_object(), by=caller_of(self.request).actor, **asked)
        return self._answer(execution)

    def _answer(self, execution: Execution) -> Response:
        """The document; 202 while the change that was asked for is still under way."""
        place = queries.queue_place(execution)
        status = 202 if execution.status == Status.CANCELLING else 200
        if self.request.method == "GET":
            status = 200
        return Response(documents.document(execution, place), status=status)


@extend_schema_view(
    list=extend_schema(
        operation_id="agents_executions_list",
        summary="List the executions of an agent, newest first",
        parameters=[AGENT_ID],
    )
)
class AgentExecutionViewSet(  # type: ignore[misc]  # As above.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Execution]
):
    """The executions of one agent."""

    queryset = Execution.objects.all()
    serializer_class = ListedExecutionSerializer
    filterset_class = AgentExecutionFilter

    def get_queryset(self) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        agents = Agent.objects.filter(organization=self.organization)
        agent = find_agent(agents, self.kwargs["agent_id"])
        return queries.as_listed(queries.with_conditions(rows.filter(agent=agent)))


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_children_list",
        summary="List the executions that an execution spawned, newest first",
    )
)
class ChildViewSet(  # type: ignore[misc]  # As above.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Execution]
):
    """The children of one execution."""

    queryset = Execution.objects.all()
    serializer_class = ListedExecutionSerializer
    filterset_class = ChildFilter

    def get_queryset(self) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        parent = get_object_or_404(rows.only("id"), pk=self.kwargs["exec_id"])
        return queries.as_listed(queries.with_conditions(rows.filter(parent=parent)))


class _Transcript(  # type: ignore[misc]  # As above.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Row]
):
    """Rows of one execution, oldest first."""

    tenant_path = "execution__organization"

    def get_queryset(self) -> QuerySet[Row]:
        rows: QuerySet[Row] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return self.rows_of(self._execution(), rows)

    def rows_of(self, execution: Execution, rows: QuerySet[Row]) -> QuerySet[Row]:
        """Those that belong to this execution, among the rows of its organization."""
        return rows.filter(execution=execution)

    def _execution(self) -> Execution:
        executions = Execution.objects.filter(organization=self.organization)
        # An execution that is not there is 404, and no empty list.
        return get_object_or_404(executions.only("id"), pk=self.kwargs["exec_id"])


class BySeq(NewestFirst):
    """Pages of events in their order."""

    ordering = "seq"
    page_size = 200


class ByPosition(NewestFirst):
    """Pages of entries in their order."""

    ordering = "position"


class BySequence(NewestFirst):
    """Pages of checkpoints in their order."""

    ordering = "sequence"


class OldestFirst(NewestFirst):
    """Pages in the order of creation."""

    ordering = "id"


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_events_list", summary="List the events of an execution, in order"
    )
)
class EventViewSet(_Transcript[Event]):
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_class = EventFilter
    pagination_class = BySeq


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_entries_list",
        summary="List the entries of an execution, in order",
        description="Its whole line: that of a fork begins with the past that it shares, whose "
        "entries say which execution they are of. `after` is a position, `leaf` the entry to end "
        "with.",
    )
)
class EntryViewSet(_Transcript[Entry]):
    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    filterset_class = EntryFilter
    pagination_class = ByPosition

    def rows_of(self, execution: Execution, rows: QuerySet[Entry]) -> QuerySet[Entry]:
        # Originals are of the same organization, so the line needs no second look at it.
        return lines.entries(execution)


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_checkpoints_list",
        summary="List the checkpoints of an execution, in order",
        description="That of a fork begins with the checkpoint that it was forked from.",
    )
)
class CheckpointViewSet(_Transcript[Checkpoint]):
    queryset = Checkpoint.objects.defer("state")
    serializer_class = CheckpointSerializer
    pagination_class = BySequence

    @extend_schema(
        operation_id="executions_checkpoints_read",
        summary="Read a checkpoint with its state",
        parameters=[OpenApiParameter("sequence", OpenApiTypes.INT, OpenApiParameter.PATH)],
        responses=CheckpointStateSerializer,
    )
    def retrieve(self, request: Request, exec_id: UUID, sequence: int) -> Response:
        fits = sequence < 2**31
        found = self.get_queryset().defer(None).filter(sequence=sequence).first() if fits else None
        if found is None:
            raise CheckpointNotFound(checkpoint=sequence)
        return Response(CheckpointStateSerializer(found).data)


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_tool_calls_list",
        summary="List the tool calls of an execution, in order",
    )
)
class ToolCallViewSet(_Transcript[ToolCall]):
    queryset = ToolCall.objects.all()
    serializer_class = ToolCallSerializer
    filterset_class = ToolCallFilter
    pagination_class = OldestFirst

    @extend_schema(
        operation_id="executions_tool_calls_output",
        summary="Read the whole output of a tool call",
        description="Of a call whose `output` is cut: in pages of at most "
        f"{wholes.PAGE_BYTES // 1024} KiB, each with the offset of the next. Of any other, and of "
        "one whose output a hook has looked at: 404 `WHOLE_OUTPUT_NOT_FOUND`.",
        parameters=[CALL_ID, OffsetSerializer],
        responses=WholeOutputSerializer,
    )
    def output(self, request: Request, exec_id: UUID, call_id: UUID) -> Response:
        asked = OffsetSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        call = get_object_or_404(self.get_queryset(), pk=call_id)
        page = wholes.page(call, asked.validated_data["offset"])
        return Response(WholeOutputSerializer(page).data)


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_jobs_list",
        summary="List the jobs of an execution, newest first",
    )
)
class ExecutionJobViewSet(_Transcript[Job]):
    queryset = Job.objects.defer("input", "output")
    serializer_class = ListedJobSerializer
    filterset_class = JobFilter
