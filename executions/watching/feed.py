"""The executions that are watched: rows are read once for all who watch, and hints say when.

Numbers have no gap, so that a reader sees by itself that it was not told of an event, and then
reads rows: whatever is lost on the way to it costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import Protocol
from uuid import UUID

from agents.watching import looks
from agents.watching.hints import Hint, heard
from agents.watching.loops import PerLoop
from agents.watching.rounds import Rounds
from executions.stream import channel
from executions.watching import news
from executions.watching.news import Line, News
from executions.watching.pieces import Piece, piece_of

# What an execution may show while its events are being read.
HELD = 200


class Watcher(Protocol):
    """Who is told; `is_of_tree` says that it wants the children of what it watches too."""

    is_of_tree: bool

    def tell(self, line: Line) -> None:
        """There is this event."""

    def show(self, piece: Piece) -> None:
        """There is this piece, for those who are there now."""

    def miss(self) -> None:
        """There is something in the rows that it will not be told of."""

    def adopt(self, child: UUID) -> None:
        """There is this child of an execution that it watches."""


class _Tail:
    """An execution that is watched; those who watch know its events up to `reached`, or will.

    `told` is the number that a hint named. Pieces that come before its event was read are held:
    they were shown after it.
    """

    def __init__(self, execution_id: UUID, reached: int) -> None:
        self.id = execution_id
        self.reached = reached
        self.told = 0
        self.watchers: set[Watcher] = set()
        self.children: set[UUID] = set()
        self.listening = ExitStack()
        self._held: list[Piece] = []

    @property
    def has_trees(self) -> bool:
        return any(watcher.is_of_tree for watcher in self.watchers)

    def show(self, piece: Piece) -> None:
        if self.told > self.reached and len(self._held) < HELD:
            self._held.append(piece)
        elif self.told <= self.reached:
            for watcher in self.watchers:
                watcher.show(piece)

    def give(self, lines: Collection[Line]) -> None:
        for line in lines:
            self.reached = max(self.reached, line.seq)
            for watcher in tuple(self.watchers):
                watcher.tell(line)
        if self.told <= self.reached:
            held, self._held = self._held, []
            for piece in held:
                self.show(piece)

    def adopt(self, child: UUID) -> None:
        self.children.add(child)
        for watcher in tuple(self.watchers):
            watcher.adopt(child)


class Feed:
    """What is watched on one loop, and who watches it."""

    def __init__(self) -> None:
        self._tails: dict[UUID, _Tail] = {}
        self._rounds = Rounds(self._tails, self._look)

    def join(self, watcher: Watcher, execution_id: UUID, reached: int) -> None:
        """Tell the watcher, which has read so far, what happens to the execution from now on."""
        tail = self._tails.get(execution_id) or self._begin(execution_id, reached)
        tail.watchers.add(watcher)
        if tail.reached > reached:
            watcher.miss()
        for child in tuple(tail.children):
            watcher.adopt(child)

    def leave(self, watcher: Watcher, execution_id: UUID) -> None:
        """Tell it no longer."""
        tail = self._tails.get(execution_id)
        if tail is None:
            return
        tail.watchers.discard(watcher)
        if not tail.watchers:
            del self._tails[execution_id]
            tail.listening.close()

    def _begin(self, execution_id: UUID, reached: int) -> _Tail:
        tail = self._tails[execution_id] = _Tail(execution_id, reached)
        self._rounds.begin()
        # It may have happened since the watcher read.
        self._rounds.tell(execution_id)
        tail.listening.enter_context(heard(channel(execution_id), partial(self._hear, tail)))
        return tail

    def _hear(self, tail: _Tail, hint: Hint | None) -> None:
        if hint is None:
            self._rounds.tell(tail.id)
        elif "seq" in hint:
            tail.told = max(tail.told, int(hint["seq"]))
            if tail.told > tail.reached:
                self._rounds.tell(tail.id)
        elif piece := piece_of(tail.id, hint):
            tail.show(piece)

    async def _look(self, keys: list[UUID]) -> None:
        tails = [self._tails[key] for key in keys]
        parents = [tail for tail in tails if tail.has_trees]
        known = {child for tail in parents for child in tail.children}
        reached = {tail.id: tail.reached for tail in tails}
        found: News = await looks.look(
            partial(news.read, reached, [tail.id for tail in parents], known)
        )
        self._adopt({tail.id: tail for tail in parents}, found)
        for tail in tails:
            tail.give(found.lines.get(tail.id, ()))
        for key in found.cut:
            self._rounds.tell(key)

    def _adopt(self, parents: dict[UUID, _Tail], found: News) -> None:
        """Before the lines: whoever is given an execution's last event has all its children."""
        for parent, child in found.children:
            parents[parent].adopt(child)


feed = PerLoop(Feed)
