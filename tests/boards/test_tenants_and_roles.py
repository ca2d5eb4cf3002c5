"""Who may do what at every operators' endpoint, and that no organization sees another's."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from agents import actions
from agents.activity import SYSTEM
from agents.models import Role
from boards.actions import ApprovalRequest, ask_approval, remember, seat_agent
from boards.actions.custom_fields import create_field
from boards.actions.labels import create_tag
from boards.actions.onboarding import start_onboarding
from boards.drafts import EXAMPLE
from boards.models import OnboardingSession
from tests.factories import (
    API,
    api_client,
    client_of,
    make_agent,
    make_board,
    make_key,
    make_member,
    make_organization,
    make_task,
    make_user,
)

pytestmark = pytest.mark.django_db


@dataclass
class Route:
    """One operation: its address among `things`, the lowest role, the scope of a key."""

    method: str
    path: str
    role: Role
    scope: str
    body: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_VIEWER, _OPERATOR, _ADMIN, _OWNER = Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.OWNER
ROUTES = [
    Route("get", "/organizations/{organization}", _VIEWER, "read"),
    Route("patch", "/organizations/{organization}", _OWNER, "admin", {"name": "new"}),
    Route("get", "/organizations/{organization}/members", _VIEWER, "read"),
    Route(
        "post",
        "/organizations/{organization}/members",
        _OWNER,
        "admin",
        {"username": "{person}", "role": "viewer"},
    ),
    Route("get", "/organizations/{organization}/members/{member}", _VIEWER, "read"),
    Route(
        "patch",
        "/organizations/{organization}/members/{member}",
        _OWNER,
        "admin",
        {"role": "operator"},
    ),
    Route("delete", "/organizations/{organization}/members/{member}", _OWNER, "admin"),
    Route("get", "/organizations/{organization}/keys", _ADMIN, "read"),
    Route(
        "post",
        "/organizations/{organization}/keys",
        _ADMIN,
        "admin",
        {"name": "k", "role": "viewer", "scopes": ["admin"]},
    ),
    Route("get", "/organizations/{organization}/keys/{key}", _ADMIN, "read"),
    Route("delete", "/organizations/{organization}/keys/{key}", _ADMIN, "admin"),
    Route("get", "/agents", _VIEWER, "read"),
    Route("post", "/agents", _ADMIN, "admin", {"name": "A"}),
    Route("get", "/agents/{agent}", _VIEWER, "read"),
    Route("get", "/agents/{slug}", _VIEWER, "read"),
    Route("patch", "/agents/{agent}", _ADMIN, "admin", {"name": "new"}),
    Route("delete", "/agents/{agent}", _ADMIN, "admin"),
    Route("get", "/agents/{agent}/soul", _VIEWER, "read"),
    Route("put", "/agents/{agent}/soul", _ADMIN, "admin", {"content": "new"}),
    Route("get", "/agents/{agent}/soul/versions", _VIEWER, "read"),
    Route("post", "/agents/{agent}/rotate-token", _ADMIN, "admin"),
    Route("post", "/agents/{agent}/nudge", _OPERATOR, "run", {"message": "new"}),
    Route("get", "/activity", _VIEWER, "read"),
    Route("get", "/schedules", _VIEWER, "read"),
    Route(
        "post",
        "/schedules",
        _ADMIN,
        "boards",
        {
            "name": "new",
            "board": "{board}",
            "interval_minutes": "5",
            "condition": "always",
            "message": "x",
        },
    ),
    Route("get", "/schedules/{schedule}", _VIEWER, "read"),
    Route("patch", "/schedules/{schedule}", _ADMIN, "boards", {"name": "new"}),
    Route("delete", "/schedules/{schedule}", _ADMIN, "boards"),
    Route("post", "/schedules/{schedule}/run", _OPERATOR, "boards"),
    Route("get", "/schedules/{schedule}/occurrences", _VIEWER, "read"),
    Route("get", "/boards", _VIEWER, "read"),
    Route("post", "/boards", _OPERATOR, "boards", {"name": "B"}),
    Route("get", "/boards/{board}", _VIEWER, "read"),
    Route("patch", "/boards/{board}", _OPERATOR, "boards", {"name": "new"}),
    Route("delete", "/boards/{board}", _OPERATOR, "boards"),
    Route("post", "/boards/{board}/pause", _OPERATOR, "boards"),
    Route("post", "/boards/{board}/resume", _OPERATOR, "boards"),
    Route("get", "/boards/{board}/seats", _VIEWER, "read"),
    Route("post", "/boards/{board}/seats", _OPERATOR, "boards", {"agent": "{free_agent}"}),
    Route("get", "/boards/{board}/seats/{seat}", _VIEWER, "read"),
    Route("patch", "/boards/{board}/seats/{seat}", _OPERATOR, "boards", {"role": "lead"}),
    Route("delete", "/boards/{board}/seats/{seat}", _OPERATOR, "boards"),
    Route("get", "/boards/{board}/tasks", _VIEWER, "read"),
    Route("post", "/boards/{board}/tasks", _OPERATOR, "boards", {"title": "T"}),
    Route("get", "/boards/{board}/tasks/{task}", _VIEWER, "read"),
    Route("patch", "/boards/{board}/tasks/{task}", _OPERATOR, "boards", {"title": "new"}),
    Route("delete", "/boards/{board}/tasks/{task}", _OPERATOR, "boards"),
    Route("get", "/tags", _VIEWER, "read"),
    Route("post", "/tags", _OPERATOR, "boards", {"name": "new"}),
    Route("get", "/tags/{tag}", _VIEWER, "read"),
    Route("patch", "/tags/{tag}", _OPERATOR, "boards", {"name": "new"}),
    Route("delete", "/tags/{tag}", _OPERATOR, "boards"),
    Route("get", "/custom-fields", _VIEWER, "read"),
    Route(
        "post",
        "/custom-fields",
        _OPERATOR,
        "boards",
        {"key": "new", "name": "new", "type": "text"},
    ),
    Route("get", "/custom-fields/{field}", _VIEWER, "read"),
    Route("patch", "/custom-fields/{field}", _OPERATOR, "boards", {"name": "new"}),
    Route("delete", "/custom-fields/{field}", _OPERATOR, "boards"),
    Route("get", "/boards/{board}/approvals", _VIEWER, "read"),
    Route(
        "post",
        "/boards/{board}/approvals",
        _OPERATOR,
        "boards",
        {"action_type": "x", "reason": "y"},
    ),
    Route("get", "/boards/{board}/approvals/{approval}", _VIEWER, "read"),
    Route(
        "patch",
        "/boards/{board}/approvals/{approval}",
        _OPERATOR,
        "approve",
        {"status": "approved"},
    ),
    Route("post", "/boards/{board}/approvals/{approval}/withdraw", _OPERATOR, "boards"),
    Route("get", "/boards/{board}/memory", _VIEWER, "read"),
    Route("post", "/boards/{board}/memory", _OPERATOR, "boards", {"content": "new"}),
    Route("get", "/boards/{board}/memory/{memory}", _VIEWER, "read"),
    Route("delete", "/boards/{board}/memory/{memory}", _OPERATOR, "boards"),
    Route("get", "/boards/{other_board}/onboarding", _VIEWER, "read"),
    Route("post", "/boards/{board}/onboarding", _OPERATOR, "boards"),
    Route(
        "post",
        "/boards/{other_board}/onboarding/answer",
        _OPERATOR,
        "boards",
        {"answer": "new"},
    ),
    Route("post", "/boards/{other_board}/onboarding/take-over", _OPERATOR, "boards"),
    Route("post", "/boards/{other_board}/onboarding/cancel", _OPERATOR, "boards"),
    Route(
        "patch",
        "/boards/{drafted_board}/onboarding/draft",
        _OPERATOR,
        "boards",
        {"lead_name": "new"},
    ),
    Route("post", "/boards/{drafted_board}/onboarding/confirm", _OPERATOR, "boards"),
]
OF_ONE_THING = [route for route in ROUTES if "{" in route.path]
OF_TWO_THINGS = [route for route in ROUTES if route.path.count("{") == 2]


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def things(organization):
    board, agent = make_board(organization), make_agent(organization)
    other_board = make_board(organization)
    start_onboarding(other_board, by=SYSTEM)
    drafted_board = make_board(organization)
    OnboardingSession.objects.create(board=drafted_board, status="completed", draft=EXAMPLE)
    field = {"key": "f", "name": "F"}
    return {
        "organization": organization.id,
        "member": make_member(organization, Role.VIEWER).id,
        "person": make_user().username,
        "key": make_key(organization, Role.VIEWER)[0].id,
        "agent": agent.id,
        "slug": agent.slug,
        "free_agent": make_agent(organization).id,
        "board": board.id,
        "seat": seat_agent(board, agent, by=SYSTEM).id,
        "task": make_task(board).id,
        "tag": create_tag(organization, {"name": "t"}, by=SYSTEM).id,
        "field": create_field(organization, field, by=SYSTEM).id,
        "approval": ask_approval(board, ApprovalRequest("x", "y"), by=SYSTEM).id,
        "schedule": board.schedules.latest("id").id,
        "memory": remember(board, "x", by=SYSTEM).id,
        "other_board": other_board.id,
        "drafted_board": drafted_board.id,
    }


def call(client, route, things):
    body = {name: _filled(value, things) for name, value in route.body.items()}
    address = API + route.path.format(**things)
    return getattr(client, route.method)(address, body or None)


def _filled(value, things):
    return value.format(**things) if isinstance(value, str) else value


@pytest.mark.parametrize("route", ROUTES, ids=str)
@pytest.mark.parametrize("role", Role)
def test_each_role_does_what_it_reaches_and_no_more(organization, things, route, role):
    response = call(client_of(organization, role), route, things)
    if role.reaches(route.role):
        assert response.status_code in {200, 201, 204}, response.content
    else:
        assert response.status_code == 403
        assert response.json()["code"] == "ROLE_TOO_LOW"


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_key_needs_the_scope(organization, things, route):
    every = {"read", "run", "boards", "approve", "dispatch", "admin"}
    with_it = client_of(organization, Role.OWNER, route.scope)
    without = client_of(organization, Role.OWNER, *(every - {route.scope}))
    refused = call(without, route, things)
    assert (refused.status_code, refused.json()["code"]) == (403, "SCOPE_MISSING")
    assert call(with_it, route, things).status_code in {200, 201, 204}


@pytest.mark.parametrize("route", OF_ONE_THING, ids=str)
def test_what_is_another_organizations_is_not_there(things, route):
    assert call(client_of(make_organization()), route, things).status_code == 404


@pytest.mark.parametrize("route", OF_TWO_THINGS, ids=str)
def test_what_is_anothers_is_not_there_below_ones_own_either(things, route):
    own = make_organization()
    mixed = {**things, "organization": own.id, "board": make_board(own).id}
    assert call(client_of(own), route, mixed).status_code == 404


def test_a_foreign_board_is_404_whatever_the_body_is(things):
    client = client_of(make_organization())
    for below in ("tasks", "seats", "approvals", "memory"):
        response = client.post(f"{API}/boards/{things['board']}/{below}", {"wrong": 1})
        assert response.status_code == 404


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_nobody_and_agents_are_refused(organization, things, route):
    assert call(api_client(), route, things).status_code == 401
    _, token = actions.create_token(make_agent(organization), by=SYSTEM)
    assert call(api_client(token), route, things).status_code == 403


@pytest.mark.parametrize("path", ["/agents", "/boards", "/activity", "/organizations"])
def test_lists_hold_ones_own_only(organization, things, path):
    other = make_organization()
    make_board(other)
    make_agent(other)
    page = client_of(organization).get(API + path).json()["results"]
    theirs = client_of(other).get(API + path).json()["results"]
    assert page
    assert theirs
    assert not {row["id"] for row in page} & {row["id"] for row in theirs}
