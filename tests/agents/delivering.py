"""Endpoints that a test writes lines for, has delivered, and shifts in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F

from agents.activity import SYSTEM, record
from agents.commit_order import transactions
from agents.deliveries import bring_up_to_date
from agents.models import Activity, Organization, WebhookEndpoint
from tests.factories import wait_until
from tests.receiver import Receiver, Taken

TYPE = "agent.updated"


def tell(organization: Organization, count: int = 1, type_: str = TYPE) -> list[Activity]:
    """So many lines, each in a transaction of its own, which may be read by now."""
    lines = [record(organization.id, type_, by=SYSTEM, number=each) for each in range(count)]
    if not connection.in_atomic_block:
        await_older_transactions()
    return lines


def await_older_transactions() -> None:
    """Tests that run beside this one, in other databases, hold lines back by their transactions."""
    newest = transactions()[1]
    wait_until(lambda: transactions()[0] >= newest, seconds=60)


def shift(endpoint: WebhookEndpoint, **back: timedelta) -> None:
    """Move times of the endpoint back, so that what is to come has come."""
    moved: dict[str, Any] = {name: F(name) - by for name, by in back.items()}
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**moved)


def fall_due(endpoint: WebhookEndpoint) -> None:
    """The next try is due, and a lease that somebody left is over."""
    shift(endpoint, due_at=timedelta(days=2), leased_until=timedelta(days=2))


def try_again(endpoint: WebhookEndpoint, times: int = 1) -> None:
    """Deliver so often what is to be delivered, each time when it is due."""
    for _ in range(times):
        fall_due(endpoint)
        bring_up_to_date(endpoint.pk)


def answer(receiver: Receiver, *statuses: int | None) -> None:
    """Have it answer so, one after the other, and then with success."""
    left = list(statuses)
    receiver.manner = lambda _: left.pop(0) if left else 204


def firsts_of(receiver: Receiver) -> list[Taken]:
    """What is left once repeats are dropped by their ids."""
    seen: dict[str, Taken] = {}
    for each in receiver.taken:
        seen.setdefault(each.key, each)
    return list(seen.values())
