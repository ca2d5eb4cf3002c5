"""Deliveries: how fast an endpoint is told of lines, and agents of messages through a webhook."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network

from django.conf import settings
from django.db import transaction

from agents.actions.gateways import create_gateway
from agents.activity import SYSTEM, record
from agents.deliveries import deliver
from agents.fanout import fan_out
from agents.messages import Letter, notify
from agents.models import Agent, GatewayKind, Message, MessageKind, MessageState
from agents.outbox import send_due
from agents.posting import Post, kept_connections, post
from agents.presence import RUNS_ITSELF
from agents.runtime import portal
from tests.benchmarks.costs import cost_of
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.ground import ROOT
from tests.factories import make_agent, make_endpoint, make_organization
from tests.receiver import LOOPBACK

PART = "deliveries"
AIM_SECONDS = 60.0
# What the aim is about, however many are measured.
_AIMED_AT = 10_000
_A_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class Cost:
    """Of each of so many: seconds, and statements that the database is asked."""

    seconds: float
    queries: float


def measure(report: Report, *, count: int) -> None:
    """Add what a delivery costs beside a bare post and a plain commit, and what a message does."""
    settings.DELIVERY_NETWORKS = [ip_network(LOOPBACK)]
    with _taker() as url:
        bare = _bare_posts(url, count)
        _add(report, "bare post", bare, "one after the other on one connection, nothing written")
        told = _deliveries(url, count)
        what = "in order, each try written before it is made and settled after it"
        _add(report, "delivery", told, what, aim=AIM_SECONDS)
        report.add(
            Figure(PART, "delivery, queries", told.queries, "", "statements without BEGIN", 1.5),
            Figure(PART, "delivery / bare post", told.seconds / bare.seconds, "", "as above"),
        )
        sent = _messages(url, count)
        what = "fifty at once, claimed before and settled after"
        _add(report, "message", sent, what, aim=AIM_SECONDS)
        report.add(
            Figure(PART, "message, queries", sent.queries, "", "statements without BEGIN", 2.5),
        )


def _add(report: Report, name: str, cost: Cost, what: str, aim: float | None = None) -> None:
    value = cost.seconds * _AIMED_AT
    report.add(Figure(PART, f"{name}, 10,000", value, "s", what, aim))


def _bare_posts(url: str, count: int) -> Cost:
    with kept_connections() as over:

        def go() -> None:
            for number in range(count):
                sent = Post(url, {"webhook-id": str(number)}, b"{}")
                assert portal.submit(post(sent, over)).result().is_taken

        return _cost(go, count)


def _deliveries(url: str, count: int) -> Cost:
    """Of an endpoint that is told of so many lines; each arrives once and in order."""
    organization = make_organization()
    endpoint = make_endpoint(organization, url=url, types=["agent.updated"])

    def write(number: int) -> None:
        record(organization.id, "agent.updated", by=SYSTEM, number=number)

    _write(write, count)
    while fan_out(endpoint.pk):
        pass
    before = len(_taken(url))
    cost = _cost(lambda: deliver(endpoint.pk), count)
    in_order = endpoint.deliveries.order_by("xact", "event_id").values_list("pk", flat=True)
    assert _taken(url)[before:] == [str(key) for key in in_order]
    return cost


def _messages(url: str, count: int) -> Cost:
    """Of an agent behind a webhook that is nudged so often; each arrives once."""
    organization = make_organization()
    agent = make_agent(organization, kind=RUNS_ITSELF)
    fields = {"name": "Far", "kind": GatewayKind.WEBHOOK, "url": url}
    Agent.objects.filter(pk=agent.pk).update(
        gateway=create_gateway(organization, fields, by=SYSTEM)
    )
    agent = Agent.objects.select_related("gateway").get(pk=agent.pk)

    def write(number: int) -> None:
        notify(organization, Letter(MessageKind.NUDGE, f"Go on, {number}.", agent), by=SYSTEM)

    _write(write, count)
    before = len(_taken(url))
    cost = _cost(_send_all, count)
    mine = Message.objects.filter(recipient=agent, state=MessageState.DELIVERED)
    keys = mine.values_list("pk", flat=True)
    assert sorted(_taken(url)[before:]) == sorted(str(key) for key in keys)
    assert len(keys) == count
    return cost


def _send_all() -> None:
    while send_due():
        pass


def _write(write: Callable[[int], object], count: int) -> None:
    for first in range(0, count, _A_TRANSACTION):
        with transaction.atomic():
            for number in range(first, min(first + _A_TRANSACTION, count)):
                write(number)


def _cost(step: Callable[[], object], count: int) -> Cost:
    seconds, statements = cost_of(step)
    return Cost(seconds / count, statements / count)


@contextmanager
def _taker() -> Iterator[str]:
    """The address of `taker`, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.taker"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def _taken(url: str) -> list[str]:
    with urllib.request.urlopen(url) as answer:  # noqa: S310  It is our own.
        return list(json.loads(answer.read()))
