"""Kinds of agents that the benchmarks measure: ones that wait, and one that only takes steps."""

from __future__ import annotations

from agents.runtime.context import AgentContext
from agents.runtime.jobs import job
from agents.runtime.kinds import agent_kind

HEARS, ASKS, STEPS = "bench.hears", "bench.asks", "bench.steps"
SENDS, NOTHING = "bench.sends", "bench.nothing"


@agent_kind(HEARS)
def hears(context: AgentContext) -> None:
    """Wait for so many signals, one after the other."""
    for number in range(int(context.input["count"])):
        context.wait_for_signal(f"go-{number}", "go", timeout=3600)


@agent_kind(ASKS)
def asks(context: AgentContext) -> None:
    """Ask a person so many times, one after the other."""
    for number in range(int(context.input["count"])):
        context.ask_approval(f"ask-{number}", action_type="deploy", reason="It is time.")


@agent_kind(STEPS)
def steps(context: AgentContext) -> int:
    """Take so many steps that do nothing."""
    return sum(context.step(f"step-{n}", lambda: 1) for n in range(int(context.input["count"])))


@job(NOTHING)
def nothing(given: object) -> None:
    """Do nothing."""


@agent_kind(SENDS)
def sends(context: AgentContext) -> None:
    """Schedule so many jobs, and wait for each before the next."""
    for number in range(int(context.input["count"])):
        context.join_all(f"join-{number}", [context.schedule_job(f"job-{number}", NOTHING)])
