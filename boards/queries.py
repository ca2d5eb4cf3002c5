"""Reads of boards: cards with all that is shown of them, and a whole board at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Left, Length
from django.db.models.lookups import GreaterThan

from boards.errors import PayloadNotFound
from boards.models import (
    Approval,
    ApprovalStatus,
    Board,
    CustomFieldValue,
    Dependency,
    Seat,
    Tag,
    Task,
    TaskStatus,
    WebhookPayload,
)

# As many cards of a column as a screen shows; `count` says how many more there are, up to a bound.
CARDS = 200
_COUNTED = 1000


def as_cards(rows: QuerySet[Task]) -> QuerySet[Task]:
    """The tasks with what a card shows, in three more queries however many they are."""
    return rows.select_related("board").prefetch_related(
        Prefetch("dependencies", Dependency.objects.select_related("on").order_by("on_id")),
        Prefetch("tags", Tag.objects.order_by("name")),
        Prefetch("custom_field_values", CustomFieldValue.objects.select_related("field")),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its first cards, and how many there are (`count`, at most 1,000)."""

    status: str
    count: int
    tasks: list[Task]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A board at a glance."""

    board: Board
    seats: list[Seat]
    columns: list[Column]
    approvals: list[Approval]
    tags: list[Tag]


def snapshot(board: Board) -> Snapshot:
    """The board with its seats, columns, pending approvals and tags, in constantly many queries."""
    pending = Approval.objects.filter(board=board, status=ApprovalStatus.PENDING)
    return Snapshot(
        board=board,
        seats=list(Seat.objects.filter(board=board).select_related("agent")[:CARDS]),
        columns=_columns(board),
        approvals=list(pending.prefetch_related("tasks")[:CARDS]),
        tags=list(Tag.objects.filter(organization=board.organization_id).order_by("name")[:CARDS]),
    )


def _columns(board: Board) -> list[Column]:
    columns = {status: _of_column(board, status) for status in TaskStatus.values}
    firsts = {
        status: list(rows.values_list("pk", flat=True)[:CARDS]) for status, rows in columns.items()
    }
    wanted = [key for keys in firsts.values() for key in keys]
    cards = {task.pk: task for task in as_cards(Task.objects.filter(pk__in=wanted))}
    return [
        Column(
            status=status,
            count=len(keys) if len(keys) < CARDS else columns[status][:_COUNTED].count(),
            tasks=[cards[key] for key in keys if key in cards],
        )
        for status, keys in firsts.items()
    ]


def _of_column(board: Board, status: str) -> QuerySet[Task, Any]:
    return Task.objects.filter(board=board, status=status).order_by("position", "id")


# As many characters of a webhook's payload as one answer shows at most.
LONGEST_PREVIEW = 1_000_000


@dataclass(frozen=True, slots=True)
class Payload:
    """What a webhook brought, or the beginning of it."""

    id: UUID
    webhook: UUID
    body: str
    content_type: str
    truncated: bool
    created_at: datetime


def read_payload(
    board: Board, webhook_id: UUID, payload_id: UUID, *, max_chars: int | None = None
) -> Payload:
    """A payload, cut by the database where only its beginning is wanted.

    Raises PayloadNotFound unless all three belong together.
    """
    longest = max_chars or LONGEST_PREVIEW
    rows = WebhookPayload.objects.filter(webhook__board=board, webhook_id=webhook_id)
    shown = rows.annotate(
        head=Left("body", longest), truncated=GreaterThan(Length("body"), longest)
    ).values("id", "webhook_id", "head", "content_type", "truncated", "created_at")
    found = shown.filter(pk=payload_id).first()
    if found is None:
        raise PayloadNotFound
    return Payload(
        id=found["id"],
        webhook=found["webhook_id"],
        body=found["head"],
        content_type=found["content_type"],
        truncated=found["truncated"],
        created_at=found["created_at"],
    )
