"""Activity as it is committed: one reader a process, any number of streams.

A line is given out once no transaction older than its own is still under way, so that the order
is that of commits and resuming after a place skips nothing. All streams share one look at each
hint, and one a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.renderers import JSONRenderer

from agents import activity
from agents.commit_order import between, transactions
from agents.models import Activity
from agents.receipts import inbox_channel
from agents.serializers import ActivitySerializer
from agents.watching import looks
from agents.watching.backlog import Backlog
from agents.watching.hints import Hint, heard
from agents.watching.loops import PerLoop, Service
from agents.watching.places import Place

logger = logging.getLogger(__name__)

PAGE = 200
# How soon a line that an older transaction holds back is looked for again; then ever later.
SOON_SECONDS = 0.02
# What a stream may lie behind before it has to read rows at its own pace.
ROOM = 1000


@dataclass(frozen=True, slots=True)
class Scope:
    """Which lines a stream has: an organization's, or those of one board or agent in it."""

    organization_id: UUID
    board_id: UUID | None = None
    agent_id: UUID | None = None
    types: frozenset[str] = frozenset()
    # Whose inbox rings in the stream when something comes into it.
    inbox_of: UUID | None = None

    def holds(self, line: Line) -> bool:
        """Whether a line of the organization is one of them."""
        return (
            self.board_id in (None, line.board_id)
            and self.agent_id in (None, line.agent_id)
            and (not self.types or line.type in self.types)
        )

    @property
    def rows(self) -> QuerySet[Activity]:
        """The rows behind them."""
        named = {"board_id": self.board_id, "agent_id": self.agent_id}
        rows = Activity.objects.filter(organization_id=self.organization_id)
        rows = rows.filter(**{name: value for name, value in named.items() if value})
        return rows.filter(type__in=self.types) if self.types else rows


@dataclass(frozen=True, slots=True)
class Line:
    """A line of activity, ready to be sent to any number of readers."""

    place: Place
    organization_id: UUID
    board_id: UUID | None
    agent_id: UUID | None
    type: str
    data: bytes

    @classmethod
    def of(cls, row: Activity) -> Line:
        """The row as a line."""
        shown = JSONRenderer().render(ActivitySerializer(row).data)
        place = Place(row.xact, row.id)
        return cls(place, row.organization_id, row.board_id, row.agent_id, row.type, shown)


@dataclass(frozen=True, slots=True)
class Bell:
    """Something may have come into the inbox of the scope; a hint, rung at the beginning too."""


async def follow(
    scope: Scope, after: Place | None, silence: float
) -> AsyncGenerator[Line | Place | Bell]:
    """Yield the lines after a place, or from now on, as they come and without an end.

    After so many seconds without one, and at the beginning, yield the place that was reached.
    """
    while True:
        with _feed().watching(scope) as watcher:
            since = await watcher.since
            reached = after or since
            yield reached
            async for line in _past(scope, reached, since):
                reached = line.place
                yield line
            while not watcher.backlog.is_behind:
                news = await watcher.backlog.take(silence)
                if not news:
                    reached = watcher.reached(reached)
                    yield reached
                for new in news:
                    if isinstance(new, Bell):
                        yield new
                    elif new.place > reached:
                        reached = new.place
                        yield new
            after = reached


async def _past(scope: Scope, after: Place, until: Place) -> AsyncIterator[Line]:
    """What was committed between two places, page by page."""
    while after < until:
        page = await looks.look(partial(_read, scope.rows, after, until))
        for line in page:
            yield line
        if len(page) < PAGE:
            return
        after = page[-1].place


class _Watcher:
    """One stream's end of the feed. `since` is the place after which it is told of every line."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.since: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        # Who falls behind reads on from rows, and does not hold up the others.
        self.backlog: Backlog[Line | Bell] = Backlog(ROOM)
        self.told_until: Place | None = None

    def offer(self, line: Line) -> None:
        if self.scope.holds(line):
            self.backlog.put(line)

    def ring(self, hint: Hint | None) -> None:
        self.backlog.put(Bell())

    def reached(self, last: Place) -> Place:
        """How far the stream has come whose last line was there, once it has taken everything.

        As far as it has been told of every line: whoever resumes there need not read over again
        what others heard meanwhile.
        """
        if self.told_until is None or self.backlog.is_behind:
            return last
        return max(last, self.told_until)


class _Feed:
    """The streams of one loop, and the task that reads for all of them."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()
        self._somebody = asyncio.Event()
        self._news = asyncio.Event()
        self._reached: Place | None = None
        self._service = Service(self._run)

    @contextmanager
    def watching(self, scope: Scope) -> Iterator[_Watcher]:
        watcher = _Watcher(scope)
        self._watchers.add(watcher)
        self._somebody.set()
        self._news.set()
        self._service.ensure()
        try:
            with ExitStack() as listening:
                listening.enter_context(heard(activity.channel(scope.organization_id), self._hear))
                if scope.inbox_of is not None:
                    listening.enter_context(heard(inbox_channel(scope.inbox_of), watcher.ring))
                yield watcher
        finally:
            self._watchers.remove(watcher)
            if not self._watchers:
                self._somebody.clear()

    def _hear(self, hint: Hint | None) -> None:
        self._news.set()

    async def _run(self) -> None:
        pause = SOON_SECONDS
        while True:
            await self._somebody.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()
            pause = SOON_SECONDS if self._news.is_set() else 2 * pause
            self._news.clear()
            is_all = False
            try:
                is_all = await self._look()
            except Exception as error:
                # The next look finds the same lines.
                logger.warning("Activity could not be read: %s", error)
                await asyncio.sleep(looks.SAFETY_NET_SECONDS)
            if is_all or pause > looks.SAFETY_NET_SECONDS:
                pause = looks.SAFETY_NET_SECONDS

    async def _look(self) -> bool:
        """Give out what is new, and let newcomers in at the place that was reached.

        Whether that is all that has been written so far: no transaction is under way.
        """
        newcomers = [watcher for watcher in self._watchers if not watcher.since.done()]
        readers: dict[UUID, list[_Watcher]] = defaultdict(list)
        for watcher in self._watchers.difference(newcomers):
            readers[watcher.scope.organization_id].append(watcher)
        after = self._reached if readers else None
        news = await looks.look(partial(_news, list(readers), after))
        self._reached = reached = news.reached
        for line in news.lines:
            for watcher in readers[line.organization_id]:
                watcher.offer(line)
        for watcher in chain.from_iterable(readers.values()):
            watcher.told_until = reached
        for watcher in newcomers:
            if not watcher.since.done():
                watcher.since.set_result(reached)
        if len(news.lines) == PAGE:
            self._news.set()
        return news.is_all


_feed = PerLoop(_Feed)


@dataclass(frozen=True, slots=True)
class _News:
    """What a look found: at most a page of lines, and the place up to which they are complete."""

    lines: list[Line]
    reached: Place
    is_all: bool


def _news(organizations: list[UUID], after: Place | None) -> _News:
    """The organizations' lines after a place."""
    oldest, newest = transactions()
    bound, is_all = Place.before(oldest), oldest == newest
    if after is None:
        return _News([], bound, is_all)
    rows = Activity.objects.filter(organization_id__in=organizations)
    lines = _read(rows, after, bound)
    return _News(lines, lines[-1].place if len(lines) == PAGE else max(after, bound), is_all)


def _read(rows: QuerySet[Activity], after: Place, until: Place) -> list[Line]:
    """The first page of lines after one place and up to another."""
    return [Line.of(row) for row in between(rows, after, until)[:PAGE]]
