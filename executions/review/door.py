"""Approving an execution's work over REST: the request waits for the merge, holding nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from rest_framework.renderers import JSONRenderer

from agents.models import Role, Scope
from agents.rest.authentication import authenticate
from agents.rest.parsers import read_json
from agents.rest.permissions import check_may
from agents.rest.plain_views import Operation, documented
from agents.rest.waiting import few_at_once
from agents.watching.looks import look
from agents.watching.loops import PerLoop
from executions import documents
from executions.bodies import ApproveSerializer
from executions.errors import ExecutionNotFound
from executions.models import Execution, MergeStatus
from executions.queries import queue_place, with_conditions
from executions.review import problems, waiting
from executions.review.decisions import approve_work
from executions.serializers import ExecutionSerializer

# How long a request waits for the merge, which goes on without it.
PATIENCE_SECONDS = 30.0
# Decisions that are carried out at once in one process; see `executions.direct`.
AT_ONCE = 8

_door = PerLoop(lambda: asyncio.Semaphore(AT_ONCE))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an approval led to: the merge that is waited for, if there is anything to merge."""

    merge_id: UUID | None


async def _approve(request: HttpRequest, exec_id: UUID) -> HttpResponse:
    """Approve, and wait for the merge with neither a thread nor a connection."""
    asked = await few_at_once(_door(), lambda: _ask(request, exec_id))
    is_over = True
    if asked.merge_id is not None:
        merge = await waiting.ended(asked.merge_id, PATIENCE_SECONDS)
        if merge is not None and merge.status == MergeStatus.REFUSED:
            raise problems.read(merge.problem or {})
        is_over = merge is not None and merge.status == MergeStatus.MERGED
    body = await look(lambda: _document(exec_id))
    return HttpResponse(
        body,
        status=200 if is_over else 202,
        headers={} if is_over else {"Location": documents.address(exec_id)},
        content_type="application/json",
    )


def _ask(request: HttpRequest, exec_id: UUID) -> _Asked:
    """Everything of it that reads or writes rows; raises each of its refusals."""
    caller = authenticate(request)
    check_may(caller, Role.OPERATOR, Scope.APPROVE)
    rows = Execution.objects.filter(organization=caller.organization, pk=exec_id)
    execution = rows.only("id", "task_id").first()
    if execution is None:
        raise ExecutionNotFound
    shape = ApproveSerializer(data=read_json(request))
    shape.is_valid(raise_exception=True)
    strategy = shape.validated_data.get("strategy", "")
    merge = approve_work(execution, by=caller.actor, strategy=strategy)
    return _Asked(merge.pk if merge else None)


def _document(exec_id: UUID) -> bytes:
    rows: Any = with_conditions(Execution.objects.defer("spec", "diff"))
    execution = rows.get(pk=exec_id)
    shown = documents.document(execution, queue_place(execution))
    return bytes(JSONRenderer().render(shown))


approve = documented(
    _approve,
    post=Operation(
        operation_id="executions_approve",
        summary="Approve the work of an execution, and merge it",
        description="The files that it changed come into the board's default branch, by its "
        "`merge_strategy` or another `strategy`, and its task is done. The request waits up to "
        "30 seconds for the merge; 202 says that it is still under way. A conflict is 409 "
        "`WORKTREE_MERGE_CONFLICT` with `files`, a checkout of the branch with changes of its own "
        "409 `TARGET_CHECKED_OUT`; nothing is changed then, and it can be approved again. Who "
        "approves while a merge is under way is given the answer of that one. Where nothing was "
        "changed the task is done at once.",
        request=ApproveSerializer,
        responses={200: ExecutionSerializer, 202: ExecutionSerializer},
        problems=(400, 409, 422),
    ),
)
