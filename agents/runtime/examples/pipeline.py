"""Jobs: work is handed to other workers in parallel, and the run waits for all of it."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.context import AgentContext
from agents.runtime.jobs import job
from agents.runtime.kinds import agent_kind


@dataclass(frozen=True, slots=True)
class Texts:
    """What is to be counted."""

    texts: list[str]


@job("example.count_words", max_retries=2, timeout=30)
def count_words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


@agent_kind("example.pipeline", tags=["example"])
def pipeline(context: AgentContext, given: Texts) -> dict[str, int]:
    """Count the words of each text in a job of its own, and add them up."""
    jobs = [
        context.schedule_job(f"count-{n}", "example.count_words", text)
        for n, text in enumerate(given.texts)
    ]
    return {"words": sum(context.join_all("counted", jobs))}
