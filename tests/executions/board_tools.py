"""Agents of a board at work in the test's own process: they play scripts that call board tools."""

from __future__ import annotations

import json
from typing import Any

from agents.models import Agent
from executions.models import CallStatus, Execution, Status, ToolCall
from tests.boards.agents import World
from tests.executions.carrying import drive
from tests.starting import a_run, tool


def a_world() -> World:
    """A board with its agents, which play scripts and may use every tool."""
    world = World()
    Agent.objects.update(model="scripted:play", tools=["*"], max_concurrency=None)
    for agent in (world.lead, world.worker, world.main, world.other_lead, world.stranger):
        agent.refresh_from_db()
    return world


def configured(agent: Agent, **fields: Any) -> Agent:
    """The agent, with this configuration."""
    Agent.objects.filter(pk=agent.pk).update(**fields)
    agent.refresh_from_db()
    return agent


def begun(agent: Agent, *turns: dict[str, Any], **wish: Any) -> Execution:
    """A run of the agent on the board of its seat, admitted and not yet carried on."""
    seat = getattr(agent, "seat", None)
    return a_run(agent, *turns, **({"board": seat.board if seat else None} | wish))


def played(agent: Agent, *turns: dict[str, Any], **wish: Any) -> list[ToolCall]:
    """The calls of a run that played these turns to its end, or until it waits for people."""
    run = begun(agent, *turns, **wish)
    drive(run)
    assert run.status in (Status.COMPLETED, Status.WAITING), run.failure_message
    return list(ToolCall.objects.filter(execution=run).order_by("created_at", "position"))


def answered(call: ToolCall) -> Any:
    """What a call that went well was answered."""
    assert call.status == CallStatus.COMPLETE, (call.name, call.status, call.output)
    return json.loads(call.output)


def asked(agent: Agent, name: str, /, **arguments: Any) -> ToolCall:
    """The one call of a run that makes one."""
    (call,) = played(agent, tool(name, **arguments))
    return call
