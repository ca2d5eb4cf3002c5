"""When a run must be warned and when it must stop: turns, tokens, time."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.facts import Usage
from agents.runtime.spec import RunSpec

WARN_AT = 0.8


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used so far; `seconds` is time of work, waits left out."""

    turns: int
    usage: Usage
    seconds: float


def reached(spec: RunSpec, spent: Spent) -> str:
    """The reason to stop before the next turn (`turn_limit`, `budget`), or empty."""
    if spent.turns >= spec.max_turns:
        return "turn_limit"
    tokens = spent.usage.input_tokens + spent.usage.output_tokens
    if spec.token_budget and tokens >= spec.token_budget:
        return "budget"
    if spec.seconds_budget and spent.seconds >= spec.seconds_budget:
        return "budget"
    return ""


def warning(spec: RunSpec, turn: int) -> str:
    """The note for the model when `turn` is the one that reaches 80 % of the limit, else empty."""
    threshold = max(1, int(spec.max_turns * WARN_AT))
    if turn != threshold or spec.max_turns < 2:
        return ""
    left = spec.max_turns - turn
    return f"You have used {turn} of {spec.max_turns} turns; {left} are left. Come to an end."
