"""Checkpoints: state that is kept as the run goes, from each of which it can be forked."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Range:
    """Up to which number is added."""

    to: int


@agent_kind("example.checkpoints", tags=["example"])
def checkpoints(context: AgentContext, given: Range) -> dict[str, int]:
    """Add the numbers up, and keep the sum after each; a fork goes on from any of them."""
    total, after = int(context.state.get("total", 0)), int(context.state.get("after", 0))
    for number in range(after + 1, given.to + 1):
        total += number
        context.checkpoint(f"after-{number}", {"total": total, "after": number})
    return {"total": total}
