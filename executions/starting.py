"""Starting executions over REST without waiting: of an agent or inline, afresh, from a fork."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent, Role, Scope
from agents.queries import find_agent
from agents.rest.authentication import caller_of
from agents.rest.idempotency import key_of, scope_for, start_once
from agents.rest.permissions import check_may
from executions import actions, documents, queries
from executions.bodies import (
    ExecutionOrderSerializer,
    ForkSerializer,
    NothingSerializer,
    RejectSerializer,
)
from executions.models import Execution
from executions.orders import Fields, inline, read_execution, wish_of
from executions.review.decisions import reject_work
from executions.serializers import AcceptedSerializer

_ONCE = (
    "\n\nThe same `Idempotency-Key` and body start one execution, however often they are sent; "
    "without a key, equal requests within a few seconds do."
)


class StartingMixin:
    """POSTs of a view of executions that start one: 202, and `Location` says where to read it."""

    starting_actions = ("create", "retry", "fork", "reject")
    request: Request

    @extend_schema(
        operation_id="executions_start",
        summary="Start an execution, of an agent or inline",
        description="Of `agent`; or without one, configured in the body as an agent would be, "
        "which asks for the role of an administrator, as configuring an agent does. `Location` is "
        "where to read how it goes." + _ONCE,
        request=ExecutionOrderSerializer,
        responses={202: AcceptedSerializer},
    )
    def create(self, request: Request) -> Response:
        fields = read_execution(request.data)
        return self._started(_inline(fields, request) or _named(fields, request))

    @extend_schema(
        operation_id="executions_retry",
        summary="Start an execution that has ended afresh",
        description="A new execution with `retry_of`: same agent, frozen configuration, input, "
        "board, task and priority. One that was forked begins where it was forked. Of one that "
        "has not ended: 409 `EXECUTION_STATE`; while its task has a live execution: 409 "
        "`AGENT_ALREADY_RUNNING`." + _ONCE,
        request=NothingSerializer,
        responses={202: AcceptedSerializer},
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, exec_id: UUID) -> Response:
        self._body(NothingSerializer)  # type: ignore[attr-defined]  # The view's.
        return self._started(partial(actions.retry, self._original()))

    @extend_schema(
        operation_id="executions_fork",
        summary="Go on from a checkpoint in a new execution",
        description="A new execution with `forked_from`, which shares everything up to the "
        "checkpoint, files included; turns and state go on from there. `input` is what it is told "
        "first. The original is left as it is. The fork of a live one has no task; else it has "
        "its original's, which must be free. No such checkpoint: 404 `CHECKPOINT_NOT_FOUND`."
        + _ONCE,
        request=ForkSerializer,
        responses={202: AcceptedSerializer},
    )
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, exec_id: UUID) -> Response:
        asked = self._body(ForkSerializer)  # type: ignore[attr-defined]  # The view's.
        wanted = {"checkpoint": asked["checkpoint"], "text": asked["input"]}
        return self._started(partial(actions.fork, self._original(), **wanted))

    @extend_schema(
        operation_id="executions_reject",
        summary="Send the work of an execution back with a reason",
        description="A new execution goes on where this one ended: it takes over the files and the "
        "branch, is told the reason first, counts the turns on, and has the task again, which is "
        "in progress with the agent that handed it in. Not in review: 409 `TASK_NOT_IN_REVIEW`; "
        "decided before: 409 `ALREADY_DECIDED`; merged at this moment: 409 `MERGE_UNDER_WAY`."
        + _ONCE,
        request=RejectSerializer,
        responses={202: AcceptedSerializer},
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, exec_id: UUID) -> Response:
        original = self._original()
        asked = self._body(RejectSerializer)  # type: ignore[attr-defined]  # The view's.
        return self._started(partial(reject_work, original, reason=asked["reason"]))

    def _original(self) -> Execution:
        found: Execution = self.get_object()  # type: ignore[attr-defined]  # The view's.
        return found

    def _started(self, begin: Callable[..., Execution]) -> Response:
        """Begin once for this request and its repeats, and say where to read what was begun."""
        request, caller = self.request, caller_of(self.request)
        scope = scope_for(caller, request, request.data, key_of(request))
        key, is_repeat = start_once(scope, lambda: begin(by=caller.actor).id)
        # Read again: dispatch has followed the commit, and a repeat may find it ended.
        execution = get_object_or_404(Execution.objects.defer("spec", "diff"), pk=key)
        headers = {"Location": documents.address(key)}
        headers |= {"Idempotency-Replayed": "true"} if is_repeat else {}
        body = documents.accepted(execution, queries.queue_place(execution))
        return Response(body, status=202, headers=headers)


def _named(fields: Fields, request: Request) -> Callable[..., Execution]:
    agents = Agent.objects.filter(organization=caller_of(request).organization)
    agent = find_agent(agents, fields["agent"])
    return partial(actions.start, agent, wish_of(fields, agent))


def _inline(fields: Fields, request: Request) -> Callable[..., Execution] | None:
    """The start of an execution without an agent; None where the fields name one."""
    if fields.get("agent") is not None:
        return None
    caller = caller_of(request)
    # Whoever says which tools and model run does what configuring an agent would.
    check_may(caller, Role.ADMIN, Scope.RUN)
    assert caller.organization is not None
    made = inline(fields, caller.organization)
    return partial(actions.start_inline, made, wish_of(fields, made))
