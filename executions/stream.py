"""Telling watchers that there is something to read, and reading it.

Events are rows. After a commit a publish says only (execution, seq); who hears it reads rows, who
misses it reads them a second later. Tokens are published and never stored.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import redis
from django.db import connection, transaction

from executions.models import TERMINAL, Event, Execution
from executions.redis import CONTROL, channel, client, is_silent, note_silence

logger = logging.getLogger(__name__)

SAFETY_NET_SECONDS = 1.0


def publish(execution_id: UUID, seq: int) -> None:
    """Tell watchers that events up to `seq` can be read; lost hints cost them a second."""
    _publish(channel(execution_id), {"seq": seq})


def publish_on_commit(execution: Execution) -> None:
    """The same, once the transaction is through."""
    transaction.on_commit(partial(publish, execution.id, execution.event_seq), robust=True)


def publish_tokens(execution_id: UUID, kind: str, text: str, turn: int) -> None:
    """Send a piece of a reply (`text`, `thinking`, or `reset` when it starts anew)."""
    _publish(channel(execution_id), {"token": text, "kind": kind, "turn": turn})


def call_to_look(execution_id: UUID) -> None:
    """Make the worker of a run look at its row now rather than at its next renewal."""
    _publish(CONTROL, {"execution": str(execution_id)})


def _publish(where: str, message: dict[str, Any]) -> None:
    if is_silent():
        return
    try:
        client().publish(where, json.dumps(message))
    except redis.RedisError as error:
        note_silence(error)
        logger.debug("A hint was not published: %s", error)


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
        message = subscription.get_message(ignore_subscribe_messages=True, timeout=left)
        if message is None:
            continue
        news = json.loads(message["data"])
        if "seq" in news:
            return
        yield Token(news["kind"], news["token"], news["turn"])
