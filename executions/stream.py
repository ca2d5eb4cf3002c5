"""Telling watchers that there is something to read, and reading it.

Events are rows. After a commit a publish says only (execution, seq); who hears it reads rows, who
misses it reads them a second later. Tokens are published and never stored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import redis
from django.db import connection, transaction

from agents import redis as hints
from agents.redis import client
from agents.watching.looks import SAFETY_NET_SECONDS
from executions.models import TERMINAL, Event, Execution

# Told when a run must look at its row at once (cancel, pause).
CONTROL = "signalbox:control"


def channel(execution_id: UUID | str) -> str:
    """Where an execution's sequence numbers and tokens are published."""
    return f"signalbox:execution:{execution_id}"


def publish(execution_id: UUID, seq: int) -> None:
    """Tell watchers that events up to `seq` can be read; lost hints cost them a second."""
    hints.publish(channel(execution_id), {"seq": seq})


def publish_on_commit(execution: Execution) -> None:
    """The same, once the transaction is through."""
    transaction.on_commit(partial(publish, execution.id, execution.event_seq), robust=True)


def publish_tokens(
    execution_id: UUID, kind: str, text: str, turn: int, *, attempt: int | None = None
) -> None:
    """Send a piece of a reply (`text`, `thinking`, or `reset` when it starts anew).

    `attempt` counts the requests for the same reply by one run, and a reset ends one.
    """
    known = {} if attempt is None else {"attempt": attempt}
    hints.publish(channel(execution_id), {"token": text, "kind": kind, "turn": turn, **known})


def publish_piece(execution_id: UUID, kind: str, value: Any, turn: int) -> None:
    """Send what an agent's code shows and nobody keeps (`progress`, `data`, `error`)."""
    hints.publish(channel(execution_id), {"kind": kind, "data": value, "turn": turn})


def call_to_look(execution_id: UUID) -> None:
    """Make the worker of a run look at its row now rather than at its next renewal."""
    hints.publish(CONTROL, {"execution": str(execution_id)})


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a reply as it is written; ephemeral."""

    kind: str
    text: str
    turn: int


def follow(execution_id: UUID, *, after: int = 0) -> Iterator[Event | Token]:
    """Yield events after a seq and tokens as they come, until the execution has ended.

    For a terminal: it blocks its thread. Without Redis it reads once a second.
    """
    subscription = _subscribe(execution_id)
    try:
        while True:
            events, is_over = _events_after(execution_id, after)
            for event in events:
                after = event.seq
                yield event
            if is_over:
                return
            yield from _tokens_until_news(subscription)
    finally:
        if subscription is not None:
            subscription.close()


def _subscribe(execution_id: UUID) -> redis.client.PubSub | None:
    subscription: redis.client.PubSub = client().pubsub()
    try:
        subscription.subscribe(channel(execution_id))
        subscription.get_message(timeout=SAFETY_NET_SECONDS)
    except redis.RedisError:
        return None
    return subscription


def _events_after(execution_id: UUID, after: int) -> tuple[list[Event], bool]:
    """The events after a seq, and whether nothing can follow them."""
    status = Execution.objects.values_list("status", flat=True).get(pk=execution_id)
    events = list(Event.objects.filter(execution_id=execution_id, seq__gt=after).order_by("seq"))
    connection.close()
    return events, status in TERMINAL


def _tokens_until_news(subscription: redis.client.PubSub | None) -> Iterator[Token]:
    if subscription is None:
        time.sleep(SAFETY_NET_SECONDS)
        return
    deadline = time.monotonic() + SAFETY_NET_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            message = subscription.get_message(ignore_subscribe_messages=True, timeout=left)
        except redis.RedisError:  # It subscribes again when Redis is back.
            time.sleep(max(0.0, deadline - time.monotonic()))
            return
        if message is None:
            continue
        news = json.loads(message["data"])
        if "seq" in news:
            return
        if "token" in news:
            yield Token(news["kind"], news["token"], news["turn"])
