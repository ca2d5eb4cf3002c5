"""Children: work is spread over other executions, which report, and are joined at the end."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext, ChildFailed, Spawn
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is to be added up; `share` is how many numbers one child is given."""

    numbers: list[int]
    share: int


@agent_kind("example.map_reduce", tags=["example"])
def map_reduce(context: AgentContext, given: Numbers) -> dict[str, int]:
    """Add numbers up in children of this same kind, each with its share of them."""
    numbers, share = given.numbers, max(1, given.share)
    if len(numbers) <= share:
        if context.parent_id is not None:
            context.signal_parent("progress", "part.done", len(numbers))
        return {"sum": sum(numbers)}
    parts = [numbers[at : at + share] for at in range(0, len(numbers), share)]
    children = [
        context.spawn(f"part-{n}", Spawn(values={"numbers": part, "share": share}))
        for n, part in enumerate(parts)
    ]
    results = context.join_children("parts", children)
    for result in results:
        if not result.is_ok:
            raise ChildFailed(result)
    return {"sum": sum(result.output["sum"] for result in results)}
