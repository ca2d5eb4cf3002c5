"""When a run must be warned and when it must stop: turns, tokens, time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from agents.runtime.facts import Usage

WARN_AT = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a run stops, as it is now: a person may have extended it since the start."""

    turns: int
    tokens: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used so far of its limits; `seconds` is time of work, waits left out."""

    turns: int
    usage: Usage
    seconds: float
    limits: Limits

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def counts(self) -> dict[str, float]:
        """What is used of each limit."""
        return {"turns": self.turns, "tokens": self.tokens, "seconds": self.seconds}


def reached(spent: Spent) -> str:
    """The reason to stop before the next turn (`turn_limit`, `budget`), or empty."""
    limits = spent.limits
    if spent.turns >= limits.turns:
        return "turn_limit"
    if limits.tokens is not None and spent.tokens >= limits.tokens:
        return "budget"
    if limits.seconds is not None and spent.seconds >= limits.seconds:
        return "budget"
    return ""


def warnings(had: Mapping[str, float], spent: Spent) -> dict[str, str]:
    """The notes for the model by the limit of which four fifths have been used since `had`.

    What was used then is held against the limits as they are now: of a limit that is extended it
    is warned again. A limit of one turn is reached before anything could be said of it.
    """
    return {
        limit: _note(limit, int(used), most)
        for limit, used in spent.counts.items()
        if (most := getattr(spent.limits, limit)) is not None
        and had.get(limit, 0) < _warned_at(limit, most) <= used
    }


def _warned_at(limit: str, most: int) -> float:
    if limit != "turns":
        return most * WARN_AT
    return max(1, int(most * WARN_AT)) if most > 1 else math.inf


def _note(limit: str, used: int, most: int) -> str:
    left = f"; {max(0, most - used)} are left" if limit == "turns" else ""
    return f"You have used {used} of {most} {limit}{left}. Come to an end."
