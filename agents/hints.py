"""Hints to workers about work that is no run: an id in a message, which may be lost."""

from __future__ import annotations

import logging
from uuid import UUID

import kombu.exceptions
import redis
from celery import current_app

from agents.redis import is_silent, note_silence

logger = logging.getLogger(__name__)


def send(task: str, key: UUID, *, queue: str) -> None:
    """Send the hint about one row; a failure is logged, and the sweep sends again."""
    call(task, str(key), queue=queue)


def call(task: str, *args: str, queue: str) -> None:
    """The same about whatever the task finds by itself."""
    if is_silent():
        return
    try:
        current_app.send_task(task, args=args, queue=queue, retry=False, ignore_result=True)
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, redis.RedisError):
            note_silence(cause)
        logger.warning("The hint %s%s is sent again later: %s", task, args, error)
