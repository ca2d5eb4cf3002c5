"""The smallest kind: input in, output out, both with schemas from their annotations."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Said:
    """What is said."""

    text: str


@agent_kind("example.echo", tags=["example"])
def echo(context: AgentContext, said: Said) -> Said:
    """Say what was said."""
    context.append_entry("answer", said.text)
    return said
