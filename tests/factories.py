"""Makes organizations, people, keys, agents, boards and tasks for tests, and clients that call."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient
from uuid_utils.compat import uuid7

from agents import actions
from agents.actions import KeyTerms
from agents.activity import SYSTEM, Actor
from agents.models import (
    ActorKind,
    Agent,
    IntegrationKey,
    LiveWork,
    Membership,
    Organization,
    Role,
    User,
    WebhookEndpoint,
)
from boards.actions import create_board, create_task, seat_agent
from boards.models import Board, SeatRole, Task

API = "/api/v0"
_numbers = count(1)


def make_organization(**fields: Any) -> Organization:
    name = fields.pop("name", f"Organization {next(_numbers)}")
    slug = fields.pop("slug", name.lower().replace(" ", "-"))
    return Organization.objects.create(name=name, slug=slug, **fields)


def make_user(**fields: Any) -> User:
    return User.objects.create_user(username=f"person-{next(_numbers)}", **fields)


def make_member(
    organization: Organization, role: str = Role.OWNER, user: User | None = None
) -> Membership:
    user = user or make_user()
    return Membership.objects.create(organization=organization, user=user, role=role)


def make_key(
    organization: Organization, role: str = Role.OWNER, scopes: tuple[str, ...] = ()
) -> tuple[IntegrationKey, str]:
    return actions.create_key(organization, KeyTerms("a key", role, scopes), by=SYSTEM)


def make_agent(organization: Organization, **fields: Any) -> Agent:
    return actions.create_agent(
        organization, {"name": f"Agent {next(_numbers)}", **fields}, by=SYSTEM
    )


def make_endpoint(organization: Organization, **fields: Any) -> WebhookEndpoint:
    """An endpoint that is told of everything, with its secret in the clear."""
    told = {"name": "Owls", "url": "https://owls.example/hook", "types": ["*"], **fields}
    return actions.create_endpoint(organization, told, by=SYSTEM)


def make_board(organization: Organization, **fields: Any) -> Board:
    return create_board(organization, {"name": f"Board {next(_numbers)}", **fields}, by=SYSTEM)


def make_task(board: Board, **fields: Any) -> Task:
    return create_task(board, {"title": f"Task {next(_numbers)}", **fields}, by=SYSTEM)


def make_seat(board: Board, role: str = SeatRole.WORKER, **agent: Any) -> Agent:
    """A new agent, seated on the board."""
    seated = make_agent(board.organization, **agent)
    seat_agent(board, seated, by=SYSTEM, role=role)
    return seated


def make_task_for(agent: Agent, **fields: Any) -> Task:
    """A new task of nobody on a new board, on which the agent gets its seat."""
    board = make_board(agent.organization)
    seat_agent(board, agent, by=SYSTEM)
    return make_task(board, **fields)


def acting(agent: Agent) -> Actor:
    """The agent as actions want to know who acts."""
    return Actor(ActorKind.AGENT, agent.id, agent.name)


def make_live_work(agent: Agent, task: Task | None = None, board: Board | None = None) -> LiveWork:
    """What a start of an execution writes, without an execution."""
    board_id = task.board_id if task else board and board.id
    task_id = task and task.id
    return LiveWork.objects.create(
        execution_id=uuid7(), agent=agent, task_id=task_id, board_id=board_id
    )


def api_client(secret: str = "") -> APIClient:
    """A client that sends a key; without one, nobody."""
    client = APIClient()
    if secret:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def client_of(organization: Organization, role: str = Role.OWNER, *scopes: str) -> APIClient:
    """A client with a new key of the organization."""
    return api_client(make_key(organization, role, scopes)[1])


def signed_in(user: User) -> APIClient:
    """A client with a person's session."""
    client = APIClient()
    client.force_login(user)
    return client


def all_at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Call each in a thread of its own, at the same moment; the answers or the exceptions."""
    gate, answers = threading.Barrier(len(calls)), [None] * len(calls)

    def call(number: int) -> None:
        gate.wait()
        try:
            answers[number] = calls[number]()
        except Exception as error:
            answers[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@contextmanager
def counted_queries() -> Iterator[CaptureQueriesContext]:
    with CaptureQueriesContext(connection) as queries:
        yield queries


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The statements of this thread, over however many connections, without BEGIN and COMMIT."""
    found: list[str] = []

    def note(execute: Any, sql: str, *asked: Any) -> Any:
        found.append(sql)
        return execute(sql, *asked)

    with connection.execute_wrapper(note):
        yield found


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        # A transaction would otherwise go on seeing what it saw at its first look.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Look until it holds. Raises TimeoutError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(holds.__name__)
        time.sleep(0.01)
