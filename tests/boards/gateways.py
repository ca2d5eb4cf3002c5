"""Gateways that post to a receiver on loopback, and time that passes for messages."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from agents.actions import create_gateway
from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.models import Agent, Gateway, Message, MessageState
from agents.outbox import send_due
from tests.receiver import LOOPBACK, Receiver


def reached_at(receiver: Receiver, *agents: Agent) -> Gateway:
    """A gateway that posts to the receiver, given to the agents; its secret in the clear."""
    fields = {"name": f"Hook {receiver.url}", "kind": "webhook", "url": receiver.url}
    gateway = create_gateway(agents[0].organization, fields, by=SYSTEM)
    Agent.objects.filter(pk__in=[agent.pk for agent in agents]).update(gateway=gateway)
    return gateway


def on_loopback(settings: Any) -> None:
    """Let posts reach loopback, as an installation may name networks of its own."""
    settings.DELIVERY_NETWORKS = [ip_network(LOOPBACK)]


def later(**time: float) -> int:
    """Let so much time pass for what is pending, and deliver what is due then."""
    pending = Message.objects.filter(state=MessageState.PENDING)
    for message in pending:
        Message.objects.filter(pk=message.pk).update(due_at=message.due_at - timedelta(**time))
    return send_due()


def due_in() -> list[float]:
    """After how many seconds each pending message is tried, oldest first."""
    waits = Message.objects.filter(state=MessageState.PENDING).order_by("id")
    rows = waits.annotate(now=ClockTimestamp()).values_list("due_at", "now")
    return [(due - now).total_seconds() for due, now in rows]
