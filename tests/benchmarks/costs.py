"""What a step costs: seconds, and statements that the database is asked."""

from __future__ import annotations

import time
from collections.abc import Callable


def cost_of(step: Callable[[], object]) -> tuple[float, int]:
    """How many seconds the step takes, and how many statements of this thread."""
    from tests.factories import counted_statements

    with counted_statements() as statements:
        began = time.perf_counter()
        step()
        return time.perf_counter() - began, len(statements)
