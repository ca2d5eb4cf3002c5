"""When a run must be warned and when it must stop: turns, tokens, time."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.facts import Usage
from agents.runtime.spec import RunSpec

WARN_AT = 0.8


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used so far; `seconds` is time of work, waits left out.

    `max_turns` is the limit as it is now: a person may have extended it since the start.
    """

    turns: int
    usage: Usage
    seconds: float
    max_turns: int


def reached(spec: RunSpec, spent: Spent) -> str:
    """The reason to stop before the next turn (`turn_limit`, `budget`), or empty."""
    if spent.turns >= spent.max_turns:
        return "turn_limit"
    tokens = spent.usage.input_tokens + spent.usage.output_tokens
    if spec.token_budget and tokens >= spec.token_budget:
        return "budget"
    if spec.seconds_budget and spent.seconds >= spec.seconds_budget:
        return "budget"
    return ""


def warning(turn: int, max_turns: int) -> str:
    """The note for the model when `turn` is the one that reaches 80 % of the limit, else empty."""
    threshold = max(1, int(max_turns * WARN_AT))
    if turn != threshold or max_turns < 2:
        return ""
    left = max_turns - turn
    return f"You have used {turn} of {max_turns} turns; {left} are left. Come to an end."
