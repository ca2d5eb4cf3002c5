"""A conversation of several turns: it waits for what people say, and costs nothing meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext
from agents.runtime.facts import Role
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Talk:
    """How many turns were taken, and the last thing that was said."""

    turns: int
    last: str


@agent_kind("example.conversation", tags=["example"])
def conversation(context: AgentContext) -> Talk:
    """Answer each signal `say` until one says goodbye, or nobody says anything for a day."""
    turns, last = 0, ""
    while last != "goodbye":
        said = context.wait_for_signal(f"turn-{turns}", "say", timeout=24 * 3600)
        if said is None:
            break
        last, turns = str(said.value), turns + 1
        context.append_entry(f"said-{turns}", last, role=Role.USER)
        context.append_entry(f"answer-{turns}", f"You said: {last}")
    return Talk(turns, last)
