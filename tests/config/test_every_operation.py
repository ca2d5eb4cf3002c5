"""Every operation, asked at random by every kind of caller: no 5xx, nothing undeclared.

`SIGNALBOX_FUZZ_EXAMPLES=50` asks each operation so often instead of a few times.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

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

from agents.models import Role, Scope
from tests.boards.agents import World, with_token
from tests.config.everything import Known, everything, with_known
from tests.factories import client_of, make_member, signed_in

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("SIGNALBOX_FUZZ_EXAMPLES", "4"))
CALLERS: dict[str, Callable[[World], APIClient]] = {
    "owner": lambda world: client_of(world.organization, Role.OWNER),
    "viewer": lambda world: client_of(world.organization, Role.VIEWER),
    "limited key": lambda world: client_of(
        world.organization, Role.OPERATOR, Scope.READ, Scope.BOARDS
    ),
    "person": lambda world: signed_in(make_member(world.organization).user),
    "main": lambda world: with_token(world.main),
    "lead": lambda world: with_token(world.lead),
    "worker": lambda world: with_token(world.worker),
    "nobody": lambda world: APIClient(),
}
# To how many operations each gets a 2xx at least; fewer would mean that most requests fail early.
LEAST = {
    "owner": 70,
    "limited key": 50,
    "viewer": 30,
    "person": 70,
    "main": 8,
    "lead": 20,
    "worker": 14,
    "nobody": 0,
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
    "executions_approve",
    "agent_inbox",
    "dispatch_poll",
    "dispatch_entries_read",
}
FORMATS = FormatChecker(["uuid", "date"])
FORMATS.checks("uri")(lambda value: not isinstance(value, str) or ":" in value)


@dataclass
class Found:
    """What was wrong, and how often each operation answered with which status."""

    faults: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)


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
    known = everything(world)
    client = CALLERS[caller](world)
    found = Found()
    for operation in operations():
        _ask_at_random(operation, client, known, found)
    assert not found.faults, "\n".join(found.faults)
    succeeded = {operation for operation, status in found.statuses if status < 300}
    assert len(succeeded) >= LEAST[caller], found.statuses


def _ask_at_random(operation: Any, client: APIClient, known: Known, found: Found) -> None:
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
        for name, drawn in (case.path_parameters or {}).items():
            # Twice as often, so that not every other path leads nowhere.
            choices = [*known[name], *known[name], drawn]
            case.path_parameters[name] = str(data.draw(st.sampled_from(choices)))
        case.body = with_known(case.body, "", known, lambda of: data.draw(st.sampled_from(of)))
        # One operation's throttle must not answer for the next one.
        remembered.clear()
        with transaction.atomic():
            answer = _sent(case, client)
            transaction.set_rollback(True)
        found.statuses[operation.definition.raw["operationId"], answer.status_code] += 1
        fault = _fault(operation, answer)
        if fault:
            fault = f"{operation.label} {case.formatted_path} {case.body!r:.200}: {fault}"
            found.faults.append(fault)

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
