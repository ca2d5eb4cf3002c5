"""One reader's stream of an execution, or of all that stand below it too, as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from uuid import UUID

from agents.watching import looks
from agents.watching.backlog import Backlog
from executions.watching import news, pieces
from executions.watching.cursor import Cursor, Place, key
from executions.watching.feed import feed
from executions.watching.news import Line, Member
from executions.watching.pieces import Piece

# How many events and pieces may wait for a reader; half of it is for events alone.
ROOM = 1000


class Reader:
    """What a reader has been given, and what is to come.

    `reached` has the number of the last event of each execution of the stream, `open` those that
    have not ended. It is of one loop.
    """

    def __init__(self, root: UUID, types: frozenset[str], *, is_of_tree: bool) -> None:
        self.is_of_tree = is_of_tree
        self.reached: dict[UUID, int] = {}
        self.open: set[UUID] = set()
        self._root = root
        self._types = types
        self._cursor = Cursor()
        self._backlog: Backlog[Line | Piece] = Backlog(ROOM)
        self._has_lost_pieces = False
        self._is_joined = False

    # --- what the feed tells it

    def tell(self, line: Line) -> None:
        self._backlog.put(line)

    def show(self, piece: Piece) -> None:
        if piece.is_among(self._types) and not self._backlog.put_if_roomy(piece):
            self._has_lost_pieces = True

    def miss(self) -> None:
        self._backlog.fall_behind()

    def adopt(self, child: UUID) -> None:
        if self.is_of_tree and child not in self.reached:
            self._enter(child, 0)

    # --- what it is given

    async def chunks(self, after: Place, silence: float) -> AsyncGenerator[bytes]:
        """Text, as it comes, until everything has ended; none of it may come from a row twice.

        After so many seconds without any, and at the beginning, a comment with the place.
        """
        try:
            for member in await looks.look(
                partial(news.members, self._root, is_tree=self.is_of_tree)
            ):
                self._begin(member, after)
            yield self._alive()
            async for chunk in self._past():
                yield chunk
            self._join()
            async for chunk in self._present(silence):
                yield chunk
            if self._types:
                # Its last event may not have been among them.
                yield self._alive()
        finally:
            for execution_id in self.open:
                feed().leave(self, execution_id)

    def _begin(self, member: Member, after: Place) -> None:
        # No place is beyond the end: others are told of what follows from there on.
        reached = min(after.get(key(member.id), 0), member.event_seq)
        self._enter(member.id, reached)
        if member.is_over and reached == member.event_seq:
            self._end(member.id)

    def _enter(self, execution_id: UUID, reached: int) -> None:
        self.reached[execution_id] = reached
        self._cursor.reach(execution_id, reached)
        self.open.add(execution_id)
        if self._is_joined:
            feed().join(self, execution_id, reached)

    def _end(self, execution_id: UUID) -> None:
        self.open.discard(execution_id)
        feed().leave(self, execution_id)

    def _join(self) -> None:
        self._is_joined = True
        for execution_id in tuple(self.open):
            feed().join(self, execution_id, self.reached[execution_id])

    async def _past(self) -> AsyncGenerator[bytes]:
        """What rows have that it was not given yet, page by page, at its own pace."""
        while self.open:
            reached = {key: self.reached[key] for key in self.open}
            parents = tuple(self.open) if self.is_of_tree else ()
            found = await looks.look(partial(news.read, reached, parents, tuple(self.reached)))
            for _, child in found.children:
                self.adopt(child)
            if chunk := self._written(found.in_order()):
                yield chunk
            if not found.cut and not found.children:
                return

    async def _present(self, silence: float) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        due = loop.time() + silence
        while self.open:
            chunk = self._written(await self._backlog.take(max(0, due - loop.time())))
            if chunk or loop.time() >= due:
                yield chunk or self._alive()
                due = loop.time() + silence
            if self._backlog.is_behind:
                self._backlog.catch_up()
                async for chunk in self._past():
                    yield chunk
                    due = loop.time() + silence

    def _written(self, new: Iterable[Line | Piece]) -> bytes:
        written = [each.written if isinstance(each, Piece) else self._line(each) for each in new]
        if self._has_lost_pieces:
            self._has_lost_pieces = False
            written.append(pieces.event("reload", {"after": self._place()}))
        return b"".join(written)

    def _line(self, line: Line) -> bytes:
        """The event as text; nothing where it was given already, or is not among its types."""
        reached = self.reached[line.execution_id]
        if line.seq > reached + 1:
            self.miss()
        if line.seq != reached + 1:
            return b""
        self.reached[line.execution_id] = line.seq
        self._cursor.reach(line.execution_id, line.seq)
        if line.is_last:
            self._end(line.execution_id)
        if self._types and line.type not in self._types:
            return b""
        head = f"id: {self._place()}\nevent: {line.type}\ndata: ".encode()
        return head + line.data + b"\n\n"

    def _alive(self) -> bytes:
        # An id alone is no event to a reader, but it is where it reads on.
        return f": alive\nid: {self._place()}\n\n".encode()

    def _place(self) -> str:
        return str(self._cursor) if self.is_of_tree else str(self.reached.get(self._root, 0))
