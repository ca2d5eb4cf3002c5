"""Messages that workers post: called by a hint, and by the sweep when their worker was killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from agents.activity import SYSTEM, record
from agents.deliveries import hint_due
from agents.messages import Letter, notify
from agents.models import Message, MessageKind, MessageState
from tests.agents.delivering import shift
from tests.boards.agents import World
from tests.boards.gateways import reached_at
from tests.factories import make_endpoint, make_organization
from tests.processes import wait_until, worker
from tests.receiver import LOOPBACK, receiver

pytestmark = pytest.mark.django_db(transaction=True)

DELIVERING = {"queues": "deliveries", "SIGNALBOX_DELIVERY_NETWORKS": LOOPBACK}


def test_what_a_killed_worker_was_posting_is_posted_again() -> None:
    world = World()
    with receiver() as far:
        reached_at(far, world.worker)
        world.worker.refresh_from_db()

        def tell(words: str) -> Message:
            letter = Letter(MessageKind.CHAT, words, world.worker)
            return notify(world.organization, letter, by=SYSTEM)

        def is_delivered(message: Message) -> bool:
            message.refresh_from_db()
            return message.state == MessageState.DELIVERED

        with worker(**DELIVERING) as first:
            message = tell("First.")
            wait_until(lambda: is_delivered(message))
            far.manner = far.hang
            message = tell("Second.")
            wait_until(lambda: str(message.id) in far.keys)
            first.kill()
        far.manner = lambda taken: 204
        due = Message.objects.get(pk=message.pk).due_at
        assert due is not None
        Message.objects.filter(pk=message.pk).update(due_at=due - timedelta(seconds=61))
        with worker(**DELIVERING):
            wait_until(lambda: is_delivered(message))
        assert far.keys.count(str(message.id)) == 2


def test_what_a_killed_worker_was_posting_to_an_endpoint_is_posted_again() -> None:
    organization = make_organization()
    with receiver() as far:
        endpoint = make_endpoint(organization, url=far.url, types=["agent.updated"])
        deliveries = endpoint.deliveries

        def swept(fact: Callable[[], bool]) -> bool:
            """Lines are told of once no older transaction is under way, here of another test."""
            hint_due()
            return fact()

        with worker(**DELIVERING) as first:
            record(organization.id, "agent.updated", by=SYSTEM)
            wait_until(lambda: swept(lambda: deliveries.filter(state="delivered").count() == 1))
            far.manner = far.hang
            lines = [record(organization.id, "agent.updated", by=SYSTEM) for _ in range(2)]
            wait_until(lambda: swept(lambda: len(far.taken) == 2))
            first.kill()
        far.manner = lambda taken: 204
        shift(endpoint, leased_until=timedelta(seconds=61))
        with worker(**DELIVERING):
            wait_until(lambda: swept(lambda: deliveries.filter(state="delivered").count() == 3))
        told = [each.told["data"]["id"] for each in far.taken[1:]]
        assert told == [str(lines[0].id), str(lines[0].id), str(lines[1].id)]
        assert far.keys[1] == far.keys[2]
