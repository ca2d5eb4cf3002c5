"""Counts how often something happens in this process alone, for as long as Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque

from agents.rest.rates import Count

# As many counts as are kept; who was counted longest ago is forgotten first.
_MOST = 10_000

_lock = threading.Lock()
_times: OrderedDict[str, deque[float]] = OrderedDict()


def take(count: Count) -> int:
    """Count one where there is room; else the seconds until there is some, rounded up."""
    now = time.monotonic()
    with _lock:
        times = _times.setdefault(count.key, deque())
        _times.move_to_end(count.key)
        while times and times[0] <= now - count.rate.seconds:
            times.popleft()
        if len(times) >= count.rate.limit:
            return int(times[0] + count.rate.seconds - now) + 1
        times.append(now)
        if len(_times) > _MOST:
            _times.popitem(last=False)
    return 0


def give_back(count: Count) -> None:
    """Take back what was counted last."""
    with _lock:
        times = _times.get(count.key)
        if times:
            times.pop()


def forget_all() -> None:
    """Begin anew."""
    with _lock:
        _times.clear()
