"""A list asks the database as often for a hundred rows as for ten, and never counts them."""

from itertools import count

import pytest

from agents import actions
from agents.activity import SYSTEM
from boards.actions import ApprovalRequest, ask_approval, remember, seat_agent
from boards.actions.custom_fields import create_field
from boards.actions.labels import create_tag
from tests.boards.nudging import make_schedule
from tests.factories import (
    API,
    client_of,
    counted_queries,
    make_agent,
    make_board,
    make_key,
    make_member,
    make_organization,
    make_task,
    signed_in,
)

pytestmark = pytest.mark.django_db
MOST = 8
_numbers = count(1)


@pytest.fixture
def organization():
    return make_organization()


def _agents(organization):
    return "/agents", lambda: make_agent(organization, soul="x")


def _boards(organization):
    return "/boards", lambda: make_board(organization)


def _tasks(organization):
    board, agent = make_board(organization), make_agent(organization)
    return f"/boards/{board.id}/tasks", lambda: make_task(board, assigned_agent=agent)


def _seats(organization):
    board = make_board(organization)
    return (
        f"/boards/{board.id}/seats",
        lambda: seat_agent(board, make_agent(organization), by=SYSTEM),
    )


def _members(organization):
    return f"/organizations/{organization.id}/members", lambda: make_member(organization)


def _keys(organization):
    return f"/organizations/{organization.id}/keys", lambda: make_key(organization)


def _souls(organization):
    agent = make_agent(organization)
    return (
        f"/agents/{agent.id}/soul/versions",
        lambda: actions.write_soul(agent, "x", by=SYSTEM),
    )


def _tags(organization):
    return "/tags", lambda: create_tag(organization, {"name": f"t{next(_numbers)}"}, by=SYSTEM)


def _custom_fields(organization):
    boards = [make_board(organization).id for _ in range(2)]

    def make():
        fields = {"key": f"k{next(_numbers)}", "name": "K", "boards": boards}
        return create_field(organization, fields, by=SYSTEM)

    return "/custom-fields", make


def _approvals(organization):
    board = make_board(organization)

    def make():
        asked = ApprovalRequest("x", "y", (make_task(board).id, make_task(board).id))
        return ask_approval(board, asked, by=SYSTEM)

    return f"/boards/{board.id}/approvals", make


def _memory(organization):
    board = make_board(organization)
    return f"/boards/{board.id}/memory", lambda: remember(board, "owls", by=SYSTEM)


def _schedules(organization):
    def make():
        agents = [make_agent(organization).id for _ in range(2)]
        return make_schedule(organization, agents=agents)

    return "/schedules", make


def _activity(organization):
    return "/activity", lambda: make_agent(organization)


@pytest.mark.parametrize(
    "collection",
    [
        _agents,
        _boards,
        _tasks,
        _seats,
        _members,
        _keys,
        _souls,
        _activity,
        _tags,
        _custom_fields,
        _approvals,
        _memory,
        _schedules,
    ],
)
def test_a_list_costs_the_same_for_ten_rows_and_a_hundred(organization, collection):
    path, make = collection(organization)
    client = client_of(organization)
    costs = []
    for _ in range(2):
        for _ in range(10):
            make()
        with counted_queries() as queries:
            page = client.get(f"{API}{path}?limit=200").json()["results"]
        assert len(page) >= 10 * (len(costs) + 1)
        costs.append(len(queries))
        assert not [query for query in queries if "COUNT(" in query["sql"]]
        for _ in range(80):
            make()
    # The first request of a key also notes when it was used.
    assert costs[1] <= costs[0] <= MOST


def test_the_organizations_of_a_person_cost_the_same(organization):
    person = make_member(organization).user
    client, costs = signed_in(person), []
    for _ in range(2):
        for _ in range(10):
            make_member(make_organization(), user=person)
        with counted_queries() as queries:
            client.get(f"{API}/organizations?limit=200")
        costs.append(len(queries))
    assert costs[1] <= costs[0] <= MOST
