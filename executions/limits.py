"""What an execution has used, and what it may use, as the runtime counts both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agents.runtime.facts import Usage
from agents.runtime.limits import Limits, Spent
from executions.models import Execution


def limits_of(execution: Execution) -> Limits:
    """Its limits as the row has them; None is no limit."""
    return Limits(execution.max_turns, execution.token_budget, execution.seconds_budget)


def spent_of(execution: Execution) -> Spent:
    """What it had used when it last left a worker."""
    return spent(execution.turn, execution.usage, limits_of(execution))


def spent(turns: int, usage: Mapping[str, Any], limits: Limits) -> Spent:
    """What `usage`, as a row has it, comes to."""
    counted = {name: usage.get(name, 0) for name in asdict(Usage())}
    return Spent(turns, Usage(**counted), usage.get("seconds", 0.0), limits)
