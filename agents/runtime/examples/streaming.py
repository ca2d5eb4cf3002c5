"""Streaming: watchers see tokens, progress and figures while the run works."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Poem:
    """What is to be recited."""

    lines: list[str]


@agent_kind("example.streaming", tags=["example"])
def streaming(context: AgentContext, poem: Poem) -> str:
    """Recite a poem word by word."""
    lines = poem.lines
    for n, line in enumerate(lines, start=1):
        for word in line.split():
            context.stream_token(word + " ")
        context.append_entry(f"line-{n}", line)
        context.stream_progress(f"line {n} of {len(lines)}", fraction=n / len(lines))
    context.stream_data({"lines": len(lines)})
    return "\n".join(lines)
