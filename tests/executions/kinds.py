"""Agent kinds of tests, as a developer would write them, and short words for running them."""

from __future__ import annotations

from typing import Any

from agents.activity import SYSTEM
from agents.models import Agent
from agents.runtime import examples  # noqa: F401  Registers them.
from agents.runtime.context import AgentContext, Spawn
from agents.runtime.jobs import job
from agents.runtime.kinds import agent_kind
from executions import starts
from executions.configuration import Wish
from executions.models import Event, Execution
from tests.executions.carrying import drive
from tests.starting import an_agent

# What a worker process needs to know these kinds.
MODULES = "agents.runtime.examples,tests.executions.kinds"


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


# --- a run that does everything that can be interrupted between two commits

# What its steps did to the world, by key: this process's memory of it.
DONE: list[str] = []


@job("t.double", max_retries=2)
def double(number: int) -> int:
    """Twice the number."""
    return number * 2


def _noted(key: str) -> str:
    DONE.append(key)
    return key


@agent_kind("t.everything")
def everything(context: AgentContext) -> dict[str, Any]:
    """Steps, jobs, children, signals both ways, a checkpoint, entries, and waits between them."""
    if context.prompt == "child":
        number = int(context.input["n"])
        context.signal_parent("hello", "from.child", number)
        return {"n": number}
    first = context.step("first", lambda: _noted("first"), repeatable=True)
    jobs = [context.schedule_job(f"job-{n}", "t.double", n) for n in (1, 2)]
    made = [context.spawn(f"child-{n}", Spawn(prompt="child", values={"n": n})) for n in (1, 2)]
    context.checkpoint("begun", {"first": first})
    doubled = context.join_all("doubled", jobs)
    said = context.wait_for_signal("said", "say")
    context.append_entry("heard", f"heard {said.value}" if said else "heard nothing")
    ended = context.join_children("ended", made)
    second = context.step("second", lambda: _noted("second"), repeatable=True)
    hello = sorted(signal.value for signal in context.drain_signals("hello", "from.*"))
    return {
        "steps": [first, second],
        "doubled": doubled,
        "said": said and said.value,
        "children": [result.output["n"] for result in ended],
        "hello": hello,
    }
