"""When a run must be warned and when it must stop: turns, tokens, time."""

from __future__ import annotations

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


def reached(spent: Spent) -> str:
    """The reason to stop before the next turn (`turn_limit`, `budget`), or empty."""
    limits = spent.limits
    if spent.turns >= limits.turns:
        return "turn_limit"
    tokens = spent.usage.input_tokens + spent.usage.output_tokens
    if limits.tokens is not None and tokens >= limits.tokens:
        return "budget"
    if limits.seconds is not None and spent.seconds >= limits.seconds:
        return "budget"
    return ""


def warning(turn: int, max_turns: int) -> str:
    """The note for the model when `turn` is the one that reaches 80 % of the limit, else empty."""
    threshold = max(1, int(max_turns * WARN_AT))
    if turn != threshold or max_turns < 2:
        return ""
    left = max_turns - turn
    return f"You have used {turn} of {max_turns} turns; {left} are left. Come to an end."
