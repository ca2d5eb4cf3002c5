"""Where agents are asked, and what a refusal must look like."""

import json
from typing import Any


def url(agent: Any, tail: str = "") -> str:
    return f"/api/v0/agents/{agent if isinstance(agent, str) else agent.slug}/executions{tail}"


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content
    problem: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem
