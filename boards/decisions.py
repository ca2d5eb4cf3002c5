"""Who hears of decided and withdrawn approvals: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable

from boards.models import Approval

Hear = Callable[[Approval], None]

_hearers: list[Hear] = []


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
