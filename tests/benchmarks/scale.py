"""How long lists and the look-up of tokens take in a large organization.

`make scale`, or `python -m tests.benchmarks.scale --divide 100` for fewer rows, fills a database
of its own and asks for every list: its first page, a page from the middle, and each filter. It
prints medians, the number of queries, and marks what takes longer than 50 ms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.ground import ground

AIM_MILLISECONDS = 50.0
TOKEN_AIM_MILLISECONDS = 2.0
ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows there are of each; half of the tasks are on one board."""

    tasks: int = 1_000_000
    activities: int = 1_000_000
    tokens: int = 100_000
    executions: int = 200_000
    others: int = 100_000

    def divided(self, by: int) -> Sizes:
        return Sizes(*(max(getattr(self, name) // by, 100) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as whom it is sent, and what it is called in the table."""

    name: str
    client: Any
    path: str


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scale", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--divide", type=int, default=1, help="this many times fewer rows")
    options = parser.parse_args()
    with ground():
        from django.conf import settings

        settings.ALLOWED_HOSTS = ["testserver"]
        began = time.perf_counter()
        place = Place(Sizes().divided(options.divide))
        # Garbage is collected as in a web process.
        import config.asgi  # noqa: F401

        console = Console(width=120)
        console.print(f"{place.sizes} made in {time.perf_counter() - began:.0f} s")
        console.print(_measured(place.questions()))
        console.print(_token_lookup(place))


class Place:
    """An organization with one huge board, many large ones, and everything that a list shows."""

    def __init__(self, sizes: Sizes) -> None:
        from agents import actions
        from agents.activity import SYSTEM, record
        from agents.messages import Letter, send
        from agents.models import MessageKind
        from boards.actions import remember
        from boards.actions.comments import comment_on
        from boards.actions.labels import create_tag
        from tests.factories import (
            client_of,
            make_agent,
            make_board,
            make_organization,
            make_seat,
            make_task,
        )

        self.sizes = sizes
        organization = make_organization()
        self.board, self.other = make_board(organization), make_board(organization)
        self.worker = make_seat(self.board, "lead", name="Lena")
        self.rare = make_agent(organization, name="Rare")
        self.frequent = make_agent(organization, name="Frequent")
        self.task = make_task(self.board, title="An owl")
        self.tag = create_tag(organization, {"name": "rare"}, by=SYSTEM)
        self.owner = client_of(organization)
        _, self.secret = actions.create_token(self.worker, by=SYSTEM)
        elsewhere = make_task(self.other)
        line = record(organization.id, "task.updated", by=SYSTEM)
        message = send(organization, Letter(MessageKind.NUDGE, "Go.", self.worker), by=SYSTEM)
        entry = remember(self.board, "An owl.", by=SYSTEM)
        comment = comment_on(self.task, "An owl.", by=SYSTEM)
        execution = _an_execution(self.frequent, self.board)
        token = self.worker.tokens.get()

        half, others = sizes.tasks // 2, sizes.others
        status = "(array['inbox','inbox','review','done','done'])[1 + mod(n, 5)]"
        agent = f"CASE WHEN mod(n, 3) = 0 THEN '{self.frequent.id}'::uuid END"
        task = {"title": "'Task ' || n", "status": status, "position": "n"}
        task["assigned_agent_id"] = agent
        _multiply(self.task, half, **task)
        given = f"'{self.frequent.id}'::uuid"
        _multiply(elsewhere, half, **task | {"status": "'done'", "assigned_agent_id": given})
        _multiply(line, sizes.activities, board_id=f"'{self.board.id}'::uuid", agent_id=agent)
        _multiply(message, others, state="'acknowledged'")
        _multiply(entry, others, content="'Bats and ' || n", without=("words",))
        _multiply(comment, others)
        _multiply(token, sizes.tokens, prefix="lpad(to_hex(n), 16, '0')", digest="md5(n::text)")
        _multiply(
            execution,
            sizes.executions,
            status="'completed'",
            finished_at="now()",
            admitted_epoch="NULL",
        )
        _give_the_rare(self)
        _analyze()

    def questions(self) -> Iterator[Question]:
        """Every list by its first page, a page from the middle, and each of its filters."""
        from tests.factories import API

        board, agent_api = f"{API}/boards/{self.board.id}", f"{API}/agent"
        agent = _agent_client(self.secret)
        lists: dict[str, tuple[Any, list[str]]] = {
            f"{board}/tasks": (
                self.owner,
                [
                    "status=inbox",
                    "status=in_progress",
                    "status=review,done",
                    f"assigned_agent={self.frequent.id}",
                    f"assigned_agent={self.rare.id}",
                    "unassigned=true",
                    f"unassigned=true&status=review&tag={self.tag.id}",
                    f"tag={self.tag.id}",
                    "search=task",
                    "search=owl",
                    "search=nowhere",
                ],
            ),
            f"{API}/boards/{self.other.id}/tasks": (
                self.owner,
                ["status=inbox", "unassigned=true", "unassigned=false", "status=done"],
            ),
            f"{board}/tasks/{self.task.id}/comments": (self.owner, []),
            f"{board}/memory": (self.owner, ["q=bats", "q=owl", "q=nowhere", "is_chat=true"]),
            f"{board}/approvals": (self.owner, ["status=pending"]),
            f"{board}/snapshot": (self.owner, []),
            f"{API}/activity": (
                self.owner,
                [
                    f"board={self.board.id}",
                    f"agent={self.rare.id}",
                    f"task={self.task.id}",
                    "type=task.updated",
                    "type=task.created",
                    "type=board.deleted",
                ],
            ),
            f"{API}/agents": (self.owner, ["status=online", "search=rare"]),
            f"{API}/boards": (self.owner, []),
            f"{API}/tags": (self.owner, []),
            f"{API}/messages": (
                self.owner,
                ["state=failed", "state=delivered", "kind=nudge", "kind=question"],
            ),
            f"{API}/executions/agents": (
                self.owner,
                [
                    "status=completed",
                    "status=failed",
                    "status=queued,running",
                    f"agent={self.rare.id}",
                    f"board={self.board.id}",
                    f"task={self.task.id}",
                    "failure_code=TIMED_OUT",
                    "text=owl",
                    "text=nowhere",
                ],
            ),
            f"{agent_api}/boards/{self.board.id}/tasks": (
                agent,
                ["status=inbox", "unassigned=true", f"assigned_agent_id={self.rare.id}"],
            ),
            f"{agent_api}/boards/{self.board.id}/tasks/{self.task.id}/comments": (agent, []),
            f"{agent_api}/boards/{self.board.id}/memory": (agent, ["is_chat=true"]),
            f"{agent_api}/boards/{self.board.id}/approvals": (agent, ["status=pending"]),
            f"{agent_api}/agents": (agent, []),
            f"{agent_api}/inbox": (agent, []),
        }
        for path, (client, filters) in lists.items():
            name = self._readable(path)
            yield Question(name, client, path)
            if not path.endswith("snapshot"):
                yield Question(f"{name} from the middle", client, f"{path}?{_middle()}")
            for each in filters:
                yield Question(f"{name}?{self._readable(each)}", client, f"{path}?{each}")

    def _readable(self, text: str) -> str:
        """With short names for what the ids in it are of."""
        from tests.factories import API

        named = {"board": self.board, "other": self.other, "task": self.task, "rare": self.tag}
        for name, row in (*named.items(), ("rare", self.rare), ("frequent", self.frequent)):
            text = text.replace(str(row.id), name)
        return text.removeprefix(API)


def _agent_client(secret: str) -> Any:
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_X_AGENT_TOKEN=secret)
    return client


def _an_execution(agent: Any, board: Any) -> Any:
    from agents.activity import SYSTEM
    from executions import actions
    from executions.configuration import Wish

    return actions.start(agent, Wish(prompt="Count the bats.", board=board), by=SYSTEM)


def _multiply(row: Any, times: int, *, without: tuple[str, ...] = (), **changed: str) -> None:
    """Insert the row so many times more, with SQL of `n` (from 1) in the changed columns."""
    from django.db import connection

    row_type = row._meta.db_table
    columns = [
        field.column
        for field in row._meta.concrete_fields
        if field.column not in without and not field.generated
    ]
    values = {"id": "uuidv7()", **changed}
    shown = ", ".join(values.get(column, f"old.{column}") for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row_type} ({', '.join(columns)}) SELECT {shown} "  # noqa: S608
            f"FROM {row_type} AS old, generate_series(1, %s) AS n WHERE old.id = %s",
            [times, row.pk],
        )


def _give_the_rare(place: Place) -> None:
    """A few things that hardly any row has, old ones among them."""
    from boards.models import Task

    oldest = Task.objects.filter(board=place.board).order_by("id")[1:6]
    for task in oldest:
        task.tags.add(place.tag)
    Task.objects.filter(pk__in=[task.pk for task in oldest]).update(assigned_agent=place.rare)


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _middle() -> str:
    """The cursor of a page in the middle: by time, keys of the beginning are half as old."""
    from boards.models import Task

    keys = Task.objects.order_by("id")
    key = keys[keys.count() // 2].pk
    return f"cursor={b64encode(f'p={key}'.encode()).decode()}"


def _measured(questions: Iterator[Question]) -> Table:
    table = Table(title=f"Lists: median of {ROUNDS}")
    for heading in ("request", "ms", "worst", "queries", ""):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for question in questions:
        asked = partial(_ask, question)
        times, queries = _timed(asked)
        median = statistics.median(times)
        mark = "SLOW" if median > AIM_MILLISECONDS else ""
        table.add_row(question.name, f"{median:.1f}", f"{max(times):.1f}", str(queries), mark)
    return table


def _ask(question: Question) -> None:
    answer = question.client.get(question.path)
    assert answer.status_code == 200, (question.path, answer.content)


def _timed(call: Any) -> tuple[list[float], int]:
    """Milliseconds of each round after a first one, and how many queries one makes."""
    from tests.factories import counted_queries

    with counted_queries() as captured:
        call()
    # Before the next request, which forgets them.
    queries = len(captured)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return times, queries


def _token_lookup(place: Place) -> str:
    from django.test import RequestFactory

    from agents.rest.authentication import authenticate

    request = RequestFactory().get("/", headers={"X-Agent-Token": place.secret})
    times, queries = _timed(lambda: authenticate(request))
    median = statistics.median(times)
    mark = "SLOW" if median > TOKEN_AIM_MILLISECONDS else ""
    return (
        f"Look-up of one of {place.sizes.tokens:,} tokens: {median:.2f} ms, {queries} query {mark}"
    )


if __name__ == "__main__":
    main()
