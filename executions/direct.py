"""Direct execution: an agent is run and waited for, or run and left to itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from rest_framework.renderers import JSONRenderer

from agents.models import Agent, Role, Scope
from agents.queries import find_agent
from agents.remote import served_as
from agents.rest.authentication import authenticate
from agents.rest.idempotency import key_of, scope_for, start_once
from agents.rest.parsers import read_json
from agents.rest.permissions import check_may
from agents.rest.plain_views import Operation, documented
from agents.rest.waiting import few_at_once
from agents.watching.loops import PerLoop
from executions import actions, documents, waiters
from executions.bodies import AsyncStartSerializer, StartSerializer
from executions.configuration import Wish, check_runs_here, prompt_of
from executions.errors import RequestTimeout, WorkerUnavailable
from executions.models import Execution, Status
from executions.orders import read_order, wish_of
from executions.queries import QueuePlace, is_served, queue_place
from executions.serializers import AcceptedSerializer, ResultSerializer

# Starts that are carried out at once in one process, each with a thread and a connection. The
# others wait without either, so that a crowd of starts leaves the pool to other requests, and few
# stand in line for the row of one board.
AT_ONCE = 8
_QUEUE = "executions"

door = PerLoop(lambda: asyncio.Semaphore(AT_ONCE))


@dataclass(frozen=True, slots=True)
class Started:
    """A start that was accepted; `is_repeat` says that an earlier request had made it."""

    execution: Execution
    is_repeat: bool
    timeout: float
    place: QueuePlace | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotency-Replayed": "true"} if self.is_repeat else {}


async def _start_and_wait(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Start an execution and wait for its end, holding neither a thread nor a connection."""
    arrived = time.monotonic()
    started = await few_at_once(door(), lambda: _start(request, agent_id, waits=True))
    left = started.timeout - (time.monotonic() - arrived)
    execution = await waiters.settled(started.execution, left)
    if execution.status in waiters.MOVING:
        raise RequestTimeout(
            exec_id=str(execution.id),
            exec_url=documents.address(execution.id),
            # Of a problem, `status` is that of HTTP (RFC 9457).
            execution_status=str(execution.status),
        )
    if execution.status == Status.WAITING:
        return answer_accepted(execution, None, started.headers)
    return _answer(documents.result(execution), 200, started.headers)


async def _start_and_leave(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Start an execution and say where it can be read."""
    started = await few_at_once(door(), lambda: _start(request, agent_id, waits=False))
    return answer_accepted(started.execution, started.place, started.headers)


def _start(request: HttpRequest, agent_id: str, *, waits: bool) -> Started:
    """Everything of a start that reads or writes rows; raises each of its refusals."""
    caller = authenticate(request)
    check_may(caller, Role.OPERATOR, Scope.RUN)
    key, body = key_of(request), read_json(request)
    fields = read_order(body, waits=waits)
    agent = find_agent(Agent.objects.filter(organization=caller.organization), agent_id)
    wish = wish_of(fields, agent)

    def begin() -> UUID:
        # Here and not before: a repeat finds its execution, whether or not a worker lives.
        if waits:
            check_runs_here(agent)
            prompt_of(agent, wish)
            _require_worker(agent, wish)
        return actions.start(agent, wish, by=caller.actor).id

    execution_id, is_repeat = start_once(scope_for(caller, request, body, key), begin)
    # Read again: dispatch has followed the commit, and a repeat may find it ended.
    execution = get_object_or_404(Execution.objects.defer("spec", "diff"), pk=execution_id)
    place = None if waits else queue_place(execution)
    return Started(execution, is_repeat, fields["timeout"] if waits else 0, place)


def _require_worker(agent: Agent, wish: Wish) -> None:
    queue = wish.board.worker_queue if wish.board else _QUEUE
    if not is_served(served_as(agent.organization_id, agent.kind, queue)):
        raise WorkerUnavailable(worker_queue=queue)


def answer_accepted(
    execution: Execution, place: QueuePlace | None, headers: dict[str, str]
) -> HttpResponse:
    """202 of a start that nobody waits for, and `Location`."""
    where = documents.address(execution.id)
    return _answer(documents.accepted(execution, place), 202, headers | {"Location": where})


def _answer(body: dict[str, Any], status: int, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(
        JSONRenderer().render(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )


_DESCRIPTION = """
`action` names one of the agent's actions, `prompt` says in words what to do; one of them is
needed, and `with` has the values for either. The same `Idempotency-Key` and body start one
execution, however often they are sent; without a key, equal requests within a few seconds do.
"""

start_and_wait = documented(
    _start_and_wait,
    post=Operation(
        operation_id="agents_execute",
        summary="Run an agent and wait for the end",
        description=_DESCRIPTION
        + "\nNot ended within `timeout`: 408 with `exec_id`, and the execution goes on. Sent again "
        "with the same key, the request waits for the same execution. 200 also where it failed, "
        "was cancelled or paused: `status` says so. 202 where it waits for something.",
        request=StartSerializer,
        responses={200: ResultSerializer, 202: AcceptedSerializer},
        problems=(400, 408, 503),
    ),
)
start_and_leave = documented(
    _start_and_leave,
    post=Operation(
        operation_id="agents_execute_async",
        summary="Run an agent without waiting",
        description=_DESCRIPTION + "\n`Location` is where to read how it goes.",
        request=AsyncStartSerializer,
        responses={202: AcceptedSerializer},
    ),
)
