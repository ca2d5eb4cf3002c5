"""Where agents are asked, and what answers must look like."""

import json
from typing import Any

from jsonschema import Draft202012Validator


def url(agent: Any, tail: str = "") -> str:
    return f"/api/v0/agents/{agent if isinstance(agent, str) else agent.slug}/executions{tail}"


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content
    problem: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem


def conforms(schema: dict[str, Any], component: str, body: Any) -> None:
    """The body has what the component says, and nothing that it does not name."""
    shape = schema["components"]["schemas"][component]
    closed = {**shape, "additionalProperties": False, "components": schema["components"]}
    errors = [error.message for error in Draft202012Validator(closed).iter_errors(body)]
    assert not errors, (component, errors)
