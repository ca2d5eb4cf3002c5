"""Doors from Celery: each takes its arguments and calls the one function that does the work."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import connection

from agents import deliveries, outbox


@shared_task(name="agents.tasks.deliver", ignore_result=True)
def deliver() -> None:
    """Deliver the messages that are due; the call is a hint, and may come twice or never."""
    try:
        outbox.send_due()
    finally:
        connection.close()


@shared_task(name="agents.tasks.deliver_to_endpoint", ignore_result=True)
def deliver_to_endpoint(endpoint_id: str) -> None:
    """Bring an endpoint up to date; the call is a hint too."""
    try:
        deliveries.bring_up_to_date(UUID(endpoint_id))
    finally:
        connection.close()
