"""The dispatch API: what a worker outside does with an execution that it has claimed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Role, Scope
from agents.rest.authentication import Caller, caller_of
from agents.rest.filters import require_known
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from executions import signals
from executions.models import Execution
from executions.remote import bodies, leaving, writes
from executions.remote import serializers as answers
from executions.remote.claimed import latest_checkpoint
from executions.remote.entries import append, new_entry
from executions.remote.errors import KeyRequired
from executions.remote.run import RemoteRun, held, seen
from executions.remote.told import shown, told
from executions.remote.waits import wait_of

Shape = type[serializers.Serializer[Any]]
Validated = TypeVar("Validated")

SECURITY: list[Any] = [{"integrationKey": []}]
TAGS = ["dispatch"]
EPOCH = OpenApiParameter("epoch", int, required=True, description="Which claim asks.")
_MOST_LISTED = 100
_SUPERSEDED = (
    "\n\nAn `epoch` that is not that of the live claim is 409 `SUPERSEDED`: stop then, another "
    "worker has the execution, or it has ended (`execution_status`)."
)


def check_key(caller: Caller) -> None:
    """Nothing, if a key calls. Raises `KeyRequired`."""
    if caller.kind != "key":
        raise KeyRequired


def described(operation_id: str, summary: str, description: str = "", **more: Any) -> Any:
    """An operation of the dispatch API in the schema."""
    return extend_schema(
        operation_id=f"dispatch_{operation_id}",
        summary=summary,
        description=(description or f"{summary}.") + _SUPERSEDED,
        tags=TAGS,
        auth=SECURITY,
        **more,
    )


class OfWorkers(TenantMixin, IdempotentMixin, viewsets.GenericViewSet[Execution]):  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    """For integration keys with the scope `dispatch`, in their own organization."""

    queryset = Execution.objects.all()
    required_role = Role.OPERATOR
    required_scope = Scope.DISPATCH
    pagination_class = None
    filter_backends = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_key(caller_of(request))


class DispatchViewSet(OfWorkers):
    """Every write begins with the claim of the epoch, and holds its row until it is written."""

    problem_statuses = {"GET": (409, 422)}

    @described(
        "heartbeat",
        "Renew the lease",
        "Every write does it too. The answer says what is asked of the run.",
        request=bodies.BeatSerializer,
        responses=answers.ToldSerializer,
    )
    def heartbeat(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.BeatSerializer, writes.beat)

    @described(
        "entries_append",
        "Append entries",
        "They are appended to the end of the line, all or none, and the signals in hand are "
        "consumed. A `parent_id` that is not the last entry is 409 `ENTRY_NOT_LEAF`, an unknown "
        "one 404. With an `idempotency_key` they are appended once, by whichever claim.",
        request=bodies.EntriesSerializer,
        responses=answers.EntriesWrittenSerializer,
    )
    def append(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.EntriesSerializer, _append)

    @described(
        "checkpoints_create",
        "Keep a checkpoint",
        "The state to go on from, after a wait or by another worker; signals in hand are "
        "consumed. A `sequence` that is used is 409 `CHECKPOINT_OUT_OF_ORDER` with `last`.",
        request=bodies.CheckpointRequest,
        responses=answers.CheckpointWrittenSerializer,
    )
    def checkpoint(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.CheckpointRequest, writes.checkpoint)

    @described(
        "checkpoint_read",
        "Read the last checkpoint",
        parameters=[EPOCH],
        request=None,
        responses=answers.CheckpointShownSerializer,
    )
    def latest(self, request: Request, exec_id: UUID) -> Response:
        execution = self._seen(exec_id)
        return self._answer(answers.CheckpointShownSerializer, latest_checkpoint(execution))

    @described(
        "jobs_schedule",
        "Schedule jobs",
        "All or none, each once for its `key`; a key that stands for another job is 422 "
        "`IDEMPOTENCY_MISMATCH`.",
        request=bodies.JobsSerializer,
        responses=answers.JobsScheduledSerializer,
    )
    def schedule(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.JobsSerializer, _schedule)

    @described(
        "complete",
        "End an execution well",
        "One whose cancel was requested ends as cancelled. An output that does not fit the "
        "action's schema is 422 `OUTPUT_INVALID`, and the claim goes on.",
        request=bodies.CompleteSerializer,
        responses=answers.CompletedSerializer,
    )
    def complete(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.CompleteSerializer, leaving.complete)

    @described(
        "fail",
        "End an execution badly",
        request=bodies.FailSerializer,
        responses=answers.ToldSerializer,
    )
    def fail(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.FailSerializer, leaving.fail)

    @described(
        "suspend",
        "Wait without a worker",
        "The claim ends, and whichever worker polls next goes on once the wait is over. "
        "`suspended: false` where it is over already: the claim holds, go on.",
        request=bodies.SuspendSerializer,
        responses=answers.SuspendedSerializer,
    )
    def suspend(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.SuspendSerializer, _suspend)

    @described(
        "release",
        "Leave without an end",
        "`yielded`: back to the queue. `paused` and `cancelled`: as an answer asked for. Signals "
        "in hand are put back.",
        request=bodies.ReleaseSerializer,
        responses=answers.ToldSerializer,
    )
    def release(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.ReleaseSerializer, _release)

    @described(
        "signals_consume",
        "Take signals in hand",
        "In order. They are this claim's until its next entry, checkpoint or end consumes them; a "
        "claim that is lost, or that releases the execution, gives them back. Send an "
        "`Idempotency-Key`: without one, signals of an answer that got lost stay in hand unseen.",
        request=bodies.ConsumeSerializer,
        responses=answers.ConsumedSerializer,
    )
    def consume(self, request: Request, exec_id: UUID) -> Response:
        return self._written(exec_id, bodies.ConsumeSerializer, _consume)

    @described(
        "signals_list",
        "List signals that are pending",
        "By name or pattern, whether or not they are in hand.",
        parameters=[EPOCH],
        request=None,
        responses=answers.PendingSignalsSerializer,
    )
    def pending(self, request: Request, exec_id: UUID, name: str) -> Response:
        execution = self._seen(exec_id)
        rows = signals.pending(execution.id, name)
        listed = {"count": rows.count(), "signals": [shown(row) for row in rows[:_MOST_LISTED]]}
        return self._answer(answers.PendingSignalsSerializer, listed)

    @described(
        "stream",
        "Show watchers something",
        "Tokens, progress, data, errors: published and not kept. It does not renew the lease.",
        request=bodies.PiecesSerializer,
        responses=answers.ToldSerializer,
    )
    def stream(self, request: Request, exec_id: UUID) -> Response:
        asked = self._body(bodies.PiecesSerializer)
        execution = seen(self.organization, exec_id, asked["epoch"])
        writes.publish(execution, asked["pieces"])
        return Response(answers.ToldSerializer(told(execution.id)).data)

    # --- shapes in and out

    def _written(self, exec_id: UUID, shape: Shape, write: Callable[..., Any]) -> Response:
        """What came of a write, and what the worker is told then."""
        asked = self._body(shape)
        run = held(self.organization, exec_id, asked.pop("epoch"))
        found = write(run, **asked) or {}
        return Response(found | _rendered(told(run.id)))

    def _body(self, shape: Shape) -> dict[str, Any]:
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _seen(self, exec_id: UUID) -> Execution:
        require_known(self.request, ("epoch",))
        asked = bodies.EpochSerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        return seen(self.organization, exec_id, asked.validated_data["epoch"])

    def _answer(self, shape: Shape, found: Any) -> Response:
        return Response(shape(found).data)


def _rendered(facts: Any) -> dict[str, Any]:
    return dict(answers.ToldSerializer(facts).data)


def _append(run: RemoteRun, **asked: Any) -> dict[str, Any]:
    new = [new_entry(fields) for fields in asked["entries"]]
    key, parent = asked.pop("idempotency_key"), asked.pop("parent_id")
    return append(run, new, asked=_plain(asked), key=key, parent=parent)


def _plain(asked: Any) -> Any:
    """Validated fields as JSON has them."""
    return serializers.JSONField().to_representation(asked)


def _schedule(run: RemoteRun, *, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    scheduled = writes.schedule(run, wanted=jobs)
    return {"jobs": [dict(answers.ScheduledJobSerializer(job).data) for job in scheduled["jobs"]]}


def _suspend(run: RemoteRun, **asked: Any) -> dict[str, Any]:
    return leaving.suspend(run, wait_of(run.execution, **asked))


def _release(run: RemoteRun, **asked: Any) -> None:
    leaving.release(run, how=asked["as"])


def _consume(run: RemoteRun, *, limit: int, name: str = "", glob: str = "") -> dict[str, Any]:
    taken = writes.consume(run, name=name or glob, limit=limit)
    shape = partial(answers.SignalShownSerializer, many=True)
    return {"signals": shape(taken["signals"]).data}
