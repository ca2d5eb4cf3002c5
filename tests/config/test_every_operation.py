"""Every operation, asked at random by every kind of caller: no 5xx, nothing undeclared.

`SIGNALBOX_FUZZ_EXAMPLES=50` asks each operation so often instead of a few times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
from django.core.cache import cache as remembered
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import spectacular_settings
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Role
from executions import actions
from executions.configuration import Wish
from executions.models import Checkpoint, Execution
from tests.boards.agents import World, with_token
from tests.factories import client_of, make_agent, make_member, signed_in

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("SIGNALBOX_FUZZ_EXAMPLES", "4"))
CALLERS: dict[str, Callable[[World], APIClient]] = {
    "owner": lambda world: client_of(world.organization, Role.OWNER),
    "viewer": lambda world: client_of(world.organization, Role.VIEWER),
    "person": lambda world: signed_in(make_member(world.organization).user),
    "main": lambda world: with_token(world.main),
    "lead": lambda world: with_token(world.lead),
    "worker": lambda world: with_token(world.worker),
    "nobody": lambda world: APIClient(),
}
# An open stream has no end, and a synchronous start waits in threads that see no test's rows.
STREAMS = "text/event-stream"
_OURS = (
    "authorization",
    "x-agent-token",
    "cookie",
    "user-agent",
    "x-organization",
    "content-length",
)
ASYNC = {
    "agents_execute",
    "agents_execute_async",
    "agent_inbox",
    "dispatch_poll",
    "dispatch_entries_read",
}
FORMATS = FormatChecker(["uuid", "date"])
FORMATS.checks("uri")(lambda value: not isinstance(value, str) or ":" in value)


@cache
def document() -> dict[str, Any]:
    generator: Any = SchemaGenerator()
    schema = generator.get_schema(request=None, public=True)
    for hook in spectacular_settings.POSTPROCESSING_HOOKS:
        schema = hook(result=schema, generator=generator, request=None, public=True)
    return json.loads(json.dumps(schema, default=str))


def operations() -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(document()).get_all_operations():
        operation = found.ok()
        raw = operation.definition.raw
        streams = STREAMS in json.dumps(raw["responses"])
        if not streams and raw["operationId"] not in ASYNC:
            yield operation


@pytest.mark.parametrize("caller", CALLERS)
def test_every_operation_answers_as_it_declares(caller: str) -> None:
    world = World()
    task = world.task(status="review", assigned_agent=world.worker)
    known = {
        "board_id": world.board.id,
        "task_id": task.id,
        "agent_id": world.worker.id,
        "organization_id": world.organization.id,
        "webhook_id": world.webhook.id,
        "payload_id": world.payload.id,
        "gateway_id": world.gateway.id,
        "exec_id": _an_execution(world).id,
        "sequence": 1,
    }
    client = CALLERS[caller](world)
    faults: list[str] = []
    for operation in operations():
        _ask_at_random(operation, client, known, faults)
    assert not faults, "\n".join(faults)


def _an_execution(world: World) -> Execution:
    """One that has ended, with a checkpoint: it can be read, retried and forked."""
    run = actions.start(make_agent(world.organization), Wish(prompt="Do it."), by=SYSTEM)
    Checkpoint.objects.create(execution=run, sequence=1, position=1, turn=1)
    return actions.cancel(run, by=SYSTEM)


def _ask_at_random(
    operation: Any, client: APIClient, known: dict[str, UUID | int], faults: list[str]
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if name in known and data.draw(st.sampled_from([True, True, False])):
                case.path_parameters[name] = str(known[name])
        # One operation's throttle must not answer for the next one.
        remembered.clear()
        with transaction.atomic():
            answer = _sent(case, client)
            transaction.set_rollback(True)
        fault = _fault(operation, answer)
        if fault:
            faults.append(f"{operation.label} {case.formatted_path} {case.body!r:.200}: {fault}")

    ask()


def _sent(case: Any, client: APIClient) -> Any:
    request = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
    body = request.body or b""
    client.raise_request_exception = False
    return client.generic(
        str(request.method),
        request.path_url,
        body.encode() if isinstance(body, str) else body,
        content_type=headers.pop("Content-Type", "application/json"),
        headers=headers,
    )


def _fault(operation: Any, answer: Any) -> str:
    """What is wrong with an answer; empty if it is one of those that are declared."""
    if answer.status_code >= 500 and answer.status_code != 503:
        return f"{answer.status_code} {answer.content[:300]!r}"
    declared = operation.definition.raw["responses"].get(str(answer.status_code))
    if declared is None:
        return f"{answer.status_code} is not declared: {answer.content[:300]!r}"
    if "content" not in declared:
        return "" if not answer.content else f"{answer.status_code} has no body in the schema"
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if media_type not in declared["content"]:
        return f"{answer.status_code} as {media_type} is not declared"
    if not media_type.endswith("json"):
        return ""
    shape = {**declared["content"][media_type]["schema"], "components": document()["components"]}
    validator = Draft202012Validator(shape, format_checker=FORMATS)
    errors = [error.message for error in validator.iter_errors(answer.json())]
    return f"{answer.status_code}: {errors[0][:300]}" if errors else ""
