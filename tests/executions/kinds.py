"""Agent kinds of tests, as a developer would write them, and short words for running them."""

from __future__ import annotations

from typing import Any

from agents.activity import SYSTEM
from agents.models import Agent
from agents.runtime import examples  # noqa: F401  Registers them.
from executions import starts
from executions.configuration import Wish
from executions.models import Event, Execution
from tests.executions import everything  # noqa: F401  Likewise.
from tests.executions.carrying import drive
from tests.starting import an_agent

# What a worker process needs to know these kinds.
MODULES = "agents.runtime.examples,tests.executions.everything"


def an_agent_of(kind: str, **fields: Any) -> Agent:
    return an_agent(kind=kind, **fields)


def begun(agent: Agent | str, values: Any = None, **wish: Any) -> Execution:
    """Start a run of an agent, or of a new one of this kind."""
    of = an_agent_of(agent) if isinstance(agent, str) else agent
    return starts.start(of, Wish(values=values or {}, **wish), by=SYSTEM)


def driven(agent: Agent | str, values: Any = None, **wish: Any) -> Execution:
    """The same, carried on in this thread until it leaves."""
    execution = begun(agent, values, **wish)
    drive(execution)
    return execution


def told(execution: Execution) -> list[str]:
    """The types of its events, in order."""
    return list(Event.objects.filter(execution=execution).values_list("type", flat=True))
