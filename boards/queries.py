"""Reads of boards: cards with all that is shown of them, and a whole board at a glance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import Case, Exists, OuterRef, Prefetch, Q, QuerySet, Value, When
from django.db.models.functions import Left

from agents.models import LiveWork, Message, MessageKind, MessageState
from boards import rejections
from boards.models import (
    SEARCH_LANGUAGE,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    CustomFieldValue,
    Dependency,
    MemoryEntry,
    Seat,
    Tag,
    Task,
    TaskStatus,
    WebhookPayload,
)

# As many cards of a column as a screen shows; `count` says how many more there are, up to a bound.
CARDS = 100
_COUNTED = 1000
# As many seats, approvals and tags.
_BESIDE = 200


Add = Callable[[QuerySet[Task]], QuerySet[Task]]

_additions: list[Add] = []


def shown_with(add: Add) -> None:
    """Have the function add to the rows of cards what a floor above knows of them."""
    if add not in _additions:
        _additions.append(add)


def as_cards(rows: QuerySet[Task]) -> QuerySet[Task]:
    """The tasks with what a card shows, in four more queries however many they are.

    Into lists: for `task.tags.all()` Django would make a queryset for each of the tasks, which
    costs twice as much as all the rest of loading them.
    """
    waiting = Dependency.objects.select_related("on").order_by("on_id")
    values = CustomFieldValue.objects.select_related("field")
    shown: list[Prefetch[Any]] = [
        Prefetch("dependencies", waiting, to_attr="shown_dependencies"),
        Prefetch("tags", Tag.objects.order_by("name"), to_attr="shown_tags"),
        Prefetch("custom_field_values", values, to_attr="shown_values"),
        Prefetch("approvals", rejections.rejected(), to_attr="shown_rejections"),
    ]
    for add in _additions:
        rows = add(rows)
    return rows.prefetch_related(*shown)


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
        seats=list(Seat.objects.filter(board=board).select_related("agent")[:_BESIDE]),
        columns=_columns(board),
        approvals=list(pending.prefetch_related("tasks")[:_BESIDE]),
        tags=list(
            Tag.objects.filter(organization=board.organization_id).order_by("name")[:_BESIDE]
        ),
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


def all_ready() -> QuerySet[Task]:
    """Tasks of all boards that somebody can start on: in the inbox, waiting for nothing and not at
    work."""
    unfinished = Dependency.objects.filter(task=OuterRef("pk")).exclude(on__status=TaskStatus.DONE)
    live = LiveWork.objects.filter(task_id=OuterRef("pk"))
    undecided = ApprovalTask.objects.filter(
        task=OuterRef("pk"), approval__status=ApprovalStatus.PENDING
    )
    blocks = Q(board__block_status_changes_with_pending_approval=True)
    ready = Task.objects.filter(status=TaskStatus.INBOX)
    ready = ready.exclude(Exists(unfinished)).exclude(Exists(live))
    return ready.exclude(blocks & Q(Exists(undecided)))


def ready_tasks(board: Board, agent_id: UUID) -> QuerySet[Task]:
    """What the agent can start on there, first of all its own, else nobody's; by priority, then as
    the column stands."""
    ready = all_ready().filter(Q(assigned_agent=agent_id) | Q(assigned_agent=None), board=board)
    own_first = Case(When(assigned_agent=agent_id, then=Value(0)), default=Value(1))
    return ready.order_by(own_first, "priority", "position", "id")


# As many characters of a webhook's payload as one answer shows at most.
LONGEST_PREVIEW = 1_000_000


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of what a webhook brought; `payload` comes without its body."""

    payload: WebhookPayload
    text: str
    truncated: bool


def open_questions(execution_id: UUID) -> QuerySet[Message]:
    """What people were asked in an execution and have not answered, in the order asked."""
    asked = Message.objects.filter(execution_id=execution_id, kind=MessageKind.QUESTION, answer="")
    return asked.exclude(state=MessageState.FAILED).order_by("id")


def read_payload(payloads: QuerySet[WebhookPayload], max_chars: int) -> Preview | None:
    """The beginning of the one payload among these rows; None if there is none.

    It is cut by the database: a body may be large, and no more than is shown leaves it.
    """
    # One more, to see that there is more.
    cut = payloads.defer("body").annotate(beginning=Left("body", max_chars + 1))
    found = cut.first()
    if found is None:
        return None
    beginning: str = found.beginning
    return Preview(found, beginning[:max_chars], truncated=len(beginning) > max_chars)


def about(rows: QuerySet[MemoryEntry], words: str) -> QuerySet[MemoryEntry]:
    """Those that hold the words, as one writes them for a search engine: `owl -barn "night shift"`.

    Served by the index `memory_words`.
    """
    return rows.filter(words=SearchQuery(words, search_type="websearch", config=SEARCH_LANGUAGE))
