"""Remembers things for a board, and carries its chat."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import transaction
from rest_framework.exceptions import ValidationError as InvalidFields

from agents import messages
from agents.actions.agents import pause_agent, unpause_agent
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.models import ActorKind, Agent, MessageKind
from boards.actions.boards import locked_board
from boards.actions.mentions import named_in
from boards.models import Board, MemoryEntry, SeatRole

CHAT = "chat"
LONGEST = 100_000
MOST_TAGS = 20
LONGEST_TAG = 80
_COMMANDS: Mapping[str, tuple[str, Callable[..., Agent]]] = {
    "/pause": ("board.agents_paused", pause_agent),
    "/resume": ("board.agents_resumed", unpause_agent),
}


class MemoryNotFound(Refusal):
    """The board does not remember this."""

    code = "MEMORY_NOT_FOUND"
    status_code = 404


class CommandRefused(Refusal):
    """Only people who operate the board and its lead pause and resume its agents."""

    code = "LEAD_REQUIRED"
    status_code = 403


@transaction.atomic
def remember(
    board: Board, content: str, *, by: Actor, tags: Iterable[str] = (), source: str = ""
) -> MemoryEntry:
    """Keep something for a board; the tag `chat` makes it a line of its chat.

    A line of chat is told to the lead and to whom it names, but not to its author; `/pause` and
    `/resume` pause and resume all agents of the board. Raises `CommandRefused`, and
    `ValidationError` that names the fields.
    """
    words = _normal(tags)
    _check(content, words)
    entry = MemoryEntry.objects.create(
        board=board,
        content=content,
        tags=words,
        source=source[:200],
        is_chat=CHAT in words,
        author_kind=by.kind,
        author_id=by.id,
        author_name=by.name[:200],
    )
    _tell("memory.created", entry, by, is_chat=entry.is_chat, tags=words)
    if entry.is_chat:
        _obey(entry, by)
        _pass_on(entry, by)
    return entry


@transaction.atomic
def forget(entry: MemoryEntry, *, by: Actor) -> None:
    """Remove something that a board remembers. Raises `MemoryNotFound`."""
    locked = MemoryEntry.objects.select_for_update(of=("self",)).filter(pk=entry.pk).first()
    if locked is None:
        raise MemoryNotFound
    _tell("memory.deleted", locked, by)
    locked.delete()


def _normal(tags: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tag.strip().lower() for tag in tags))


def _check(content: str, tags: list[str]) -> None:
    problems = {}
    if not content.strip():
        problems["content"] = "This may not be blank."
    elif len(content) > LONGEST:
        # PostgreSQL's index of words holds 1 MiB an entry.
        problems["content"] = f"At most {LONGEST} characters."
    if len(tags) > MOST_TAGS or not all(0 < len(tag) <= LONGEST_TAG for tag in tags):
        problems["tags"] = f"At most {MOST_TAGS} tags of 1 to {LONGEST_TAG} characters."
    if problems:
        raise InvalidFields(problems)


def _obey(entry: MemoryEntry, by: Actor) -> None:
    """Carry out a line that is a command and nothing else."""
    command = _COMMANDS.get(entry.content.strip().lower())
    if command is None:
        return
    event, act = command
    board = locked_board(entry.board)
    seats = list(board.seats.select_related("agent").order_by("agent_id"))
    lead = next((seat.agent_id for seat in seats if seat.role == SeatRole.LEAD), None)
    if by.kind == ActorKind.AGENT and by.id != lead:
        raise CommandRefused
    for seat in seats:
        act(seat.agent, by=by)
    _tell(event, entry, by, agent_ids=[str(seat.agent_id) for seat in seats])


def _pass_on(entry: MemoryEntry, by: Actor) -> None:
    lead = entry.board.seats.select_related("agent__gateway").filter(role=SeatRole.LEAD).first()
    told = {agent.id: agent for agent in named_in(entry.board, entry.content)}
    if lead:
        told[lead.agent_id] = lead.agent
    if by.kind == ActorKind.AGENT and by.id is not None:
        told.pop(by.id, None)
    for agent in told.values():
        letter = messages.Letter(
            kind=MessageKind.CHAT,
            content=entry.content,
            recipient=agent,
            about=Target(board_id=entry.board_id),
            correlation_id=f"memory:{entry.id}",
            facts={"memory_id": str(entry.id)},
        )
        messages.notify(entry.board.organization, letter, by=by)


def _tell(event: str, entry: MemoryEntry, by: Actor, **facts: Any) -> None:
    about = Target(board_id=entry.board_id)
    record(
        entry.board.organization_id, event, by=by, target=about, memory_id=str(entry.id), **facts
    )
