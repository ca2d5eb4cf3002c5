"""Which limits a run is warned of, each once, and the mark in its usage that remembers it.

An event and the mark that says so are of one batch, and so of one commit under the claim: a run
that is lost in between says it again, and none says it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.runtime import limits
from agents.runtime.limits import Spent
from executions.engine.claim import Batch

# In the usage: what was used of each limit when this was last decided.
_LOOKED = "looked"


def tell(batch: Batch, usage: dict[str, Any], spent: Spent) -> list[str]:
    """Add the events of the warnings that are due to the batch, and the mark to its usage.

    Returns what a model is told of them.
    """
    due = limits.warnings(mark_of(usage), spent)
    for limit in due:
        facts = {"turn": spent.turns, "max_turns": spent.limits.turns, "limit": limit}
        batch.event("agent.turn_warning", **facts)
    usage[_LOOKED] = spent.counts
    return list(due.values())


def mark_of(usage: Mapping[str, Any]) -> Mapping[str, float]:
    """Up to where a run has been looked at."""
    looked: Mapping[str, float] = usage.get(_LOOKED, {})
    return looked


def marked(usage: Mapping[str, Any], mark: Mapping[str, float]) -> dict[str, Any]:
    """The usage with this mark: with an older one, where what was told since is not kept."""
    return {**usage, _LOOKED: mark}


def of_a_fork(turn: int, *, is_conversation: bool) -> dict[str, Any]:
    """The usage that the fork of a checkpoint of this turn begins with.

    Its tokens and time are its own. Its turns count on; what a conversation is told at the end of
    its last one comes after the checkpoint, so that the fork has not heard it.
    """
    return marked({}, {"turns": max(0, turn - is_conversation)})
