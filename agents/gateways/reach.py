"""Reaches many through their gateways at once, without holding a connection to the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from django.db import connection

from agents.gateways.base import adapter_of
from agents.gateways.failures import DeliveryFailed
from agents.models import Gateway, Message
from agents.posting import kept_connections
from agents.runtime import portal
from agents.runtime.tools.connecting import Kept

logger = logging.getLogger(__name__)

SECONDS = 10.0


def deliver_all(messages: Sequence[Message], over: Kept) -> list[str]:
    """What kept each from being delivered within ten seconds; empty where nothing did.

    A message is handed to the gateway that it has, loaded with it.
    """
    return _problems_of(
        [adapter_of(each.gateway).deliver(each.gateway, each, over) for each in messages]  # type: ignore[arg-type]  # What needs a gateway has one.
    )


def check(gateway: Gateway) -> str:
    """What is wrong with the other side of a gateway; empty when it answers."""
    with kept_connections() as over:
        return _problems_of([adapter_of(gateway).check(gateway, over)])[0]


def _problems_of(tries: Sequence[Coroutine[Any, Any, None]]) -> list[str]:
    if not connection.in_atomic_block:
        connection.close()
    return portal.submit(_all(tries)).result()


async def _all(tries: Sequence[Coroutine[Any, Any, None]]) -> list[str]:
    return list(await asyncio.gather(*(_problem_of(each) for each in tries)))


async def _problem_of(attempt: Coroutine[Any, Any, None]) -> str:
    try:
        async with asyncio.timeout(SECONDS):
            await attempt
    except DeliveryFailed as failure:
        return str(failure)
    except TimeoutError:
        return f"It did not answer within {SECONDS:g} s."
    except Exception as error:  # One that fails oddly must not take the others with it.
        logger.exception("A gateway failed.")
        return f"It failed: {type(error).__name__}."
    return ""
