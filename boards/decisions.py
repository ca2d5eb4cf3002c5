"""Who decides approvals of a kind, and who hears of them: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agents.activity import Actor
from boards.models import Approval

Hear = Callable[[Approval], None]


class Decide(Protocol):
    """Carries a decision out, in the caller's transaction: the approval as it is then.

    It is still pending where something has to be done first, which goes on by itself.
    """

    def __call__(
        self, approval: Approval, *, approve: bool, reason: str, by: Actor
    ) -> Approval: ...


_hearers: list[Hear] = []
_deciders: dict[str, Decide] = {}


def told_to(hear: Hear) -> None:
    """Have it called with each approval that is no longer pending, in the transaction of that.

    What it does to other rows belongs after the commit: the approval's row is locked.
    """
    if hear not in _hearers:
        _hearers.append(hear)


def tell(approval: Approval) -> None:
    """Tell everybody who wants to hear."""
    for hear in _hearers:
        hear(approval)


def decided_by(kind: str, decide: Decide) -> None:
    """Have decisions on approvals of this kind carried out by the function."""
    _deciders[kind] = decide


def decider_of(kind: str) -> Decide | None:
    """Who carries them out, if that is more than to write the decision down."""
    return _deciders.get(kind)
