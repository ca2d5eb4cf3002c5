"""Short words for starting executions in tests: an agent, a script, a run."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from agents.activity import SYSTEM
from agents.models import Agent, Organization
from boards.models import Board
from executions import actions
from executions.configuration import Wish
from executions.models import Execution


def an_organization(**fields: Any) -> Organization:
    name = f"org-{uuid4().hex[:12]}"
    return Organization.objects.create(**({"name": name, "slug": name} | fields))


def an_agent(organization: Organization | None = None, **fields: Any) -> Agent:
    """A free agent of the scripted model, without a limit of its own."""
    name = f"agent-{uuid4().hex[:12]}"
    given = {
        "name": name,
        "slug": name,
        "model": "scripted:play",
        "max_concurrency": None,
        "tools": ["*"],
    }
    return Agent.objects.create(organization=organization or an_organization(), **(given | fields))


def a_board(organization: Organization, **fields: Any) -> Board:
    name = f"board-{uuid4().hex[:12]}"
    return Board.objects.create(
        organization=organization, **({"name": name, "slug": name} | fields)
    )


def tool(name: str, /, **arguments: Any) -> dict[str, Any]:
    """A turn of a script that calls one tool."""
    return {"tools": [{"name": name, "input": arguments}]}


def script(*turns: dict[str, Any]) -> str:
    """A prompt that the `play` model carries out turn by turn."""
    return json.dumps({"turns": list(turns)})


def a_run(agent: Agent, *turns: dict[str, Any], **wish: Any) -> Execution:
    """Start a run that plays these turns."""
    return actions.start(agent, Wish(prompt=script(*turns), **wish), by=SYSTEM)
