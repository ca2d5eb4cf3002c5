"""A kind of tests that works and waits in turns, and writes down what its steps really did."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from agents.activity import SYSTEM
from agents.runtime.context import AgentContext
from agents.runtime.kinds import agent_kind
from boards.actions.questions import Question, ask_people
from executions.models import Execution

# What a worker process needs to know these kinds.
MODULE = __name__
LEGS = 4
_STEP_SECONDS = 0.3


@agent_kind("t.journey")
def journey(context: AgentContext) -> list[Any]:
    """Walk a leg, wait to be told how to go on, and so forth to the end."""
    log = Path(str(context.input["log"]))
    told = []
    for leg in range(LEGS):
        context.step(f"leg-{leg}", lambda leg=leg: _walk(log, leg), repeatable=True)
        signal = context.wait_for_signal(f"told-{leg}", "go", timeout=3600)
        told.append(signal and signal.value)
    return told


def _walk(log: Path, leg: int) -> int:
    """Take a while, and say when it began where no death can take it back."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{leg} {time.time()}\n".encode())
    os.close(file)
    time.sleep(_STEP_SECONDS)
    return leg


@agent_kind("t.permission")
def permission(context: AgentContext) -> str:
    """Do what a person has to allow."""
    decision = context.ask_approval("may-i", action_type="deploy", reason="It is Friday.")
    assert decision is not None
    return f"{decision.status} by {decision.by}"


@agent_kind("t.question")
def question(context: AgentContext) -> str:
    """Do what people say."""
    asked = context.step("asked", lambda: _ask(context.execution_id))
    told = context.wait_for_signal("told", f"answer:{asked}", timeout=30 * 24 * 3600)
    return f"{told.value} by {told.sender}" if told else "Nobody answered."


def _ask(execution_id: UUID) -> str:
    """Ask people on behalf of the execution; what the answer will be named after."""
    execution = Execution.objects.select_related("board").get(pk=execution_id)
    assert execution.board is not None
    asked = Question("Which owls?", execution_id=execution_id)
    return ask_people(execution.board, asked, by=SYSTEM).correlation_id
