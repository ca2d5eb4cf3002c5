"""Integration keys: shown once, no stronger than their creator, revoked at once."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.models import Activity, IntegrationKey, Role
from tests.factories import API, api_client, client_of, make_key, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


def keys(organization):
    return f"{API}/organizations/{organization.id}/keys"


def test_a_key_is_shown_once_and_works(organization):
    client = client_of(organization)
    body = {"name": "CI", "role": "viewer", "scopes": ["read"]}
    response = client.post(keys(organization), body, HTTP_IDEMPOTENCY_KEY="k")
    assert response.status_code == 201, response.content
    secret = response.json()["key"]
    assert api_client(secret).get(f"{API}/agents").status_code == 200
    again = client.post(keys(organization), body, HTTP_IDEMPOTENCY_KEY="k")
    for answer in (again, client.get(response["Location"]), client.get(keys(organization))):
        assert secret not in answer.content.decode()
    assert IntegrationKey.objects.filter(name="CI").count() == 1
    line = Activity.objects.first()
    assert line.type == "key.created"
    assert secret not in str(line.data)


def test_a_revoked_key_ends_at_once(organization):
    client = client_of(organization)
    key, secret = make_key(organization, Role.VIEWER)
    assert client.delete(f"{keys(organization)}/{key.id}").status_code == 204
    assert api_client(secret).get(f"{API}/agents").status_code == 401
    assert client.delete(f"{keys(organization)}/{key.id}").status_code == 204
    assert Activity.objects.filter(type="key.revoked").count() == 1


@pytest.mark.parametrize("own", [Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("other", Role.values)
def test_a_key_is_not_above_its_creator(organization, own, other):
    client = client_of(organization, own)
    response = client.post(keys(organization), {"name": "x", "role": other})
    allowed = own.reaches(Role(other))
    assert response.status_code == (201 if allowed else 403)
    key, _ = make_key(organization, other)
    revoked = client.delete(f"{keys(organization)}/{key.id}")
    assert revoked.status_code == (204 if allowed else 403)


@pytest.mark.parametrize(
    ("scopes", "status"),
    [([], 403), (["read", "run"], 403), (["admin"], 201), (["admin", "read"], 201)],
)
def test_a_key_with_scopes_hands_on_no_others(organization, scopes, status):
    client = client_of(organization, Role.ADMIN, "admin", "read")
    body = {"name": "x", "role": "viewer", "scopes": scopes}
    assert client.post(keys(organization), body).status_code == status


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"role": "king"}, {"scopes": ["fly"]}, {"scopes": "read"}, {"prefix_": 1}],
)
def test_a_wrong_key_is_422(organization, wrong):
    body = {"name": "x", "role": "viewer", **wrong}
    response = client_of(organization).post(keys(organization), body)
    assert response.status_code == 422


def test_a_key_that_has_expired_already_is_422(organization):
    past = (timezone.now() - timedelta(minutes=1)).isoformat()
    response = client_of(organization).post(keys(organization), {"name": "x", "expires_at": past})
    assert response.json()["errors"][0]["code"] == "in_the_past"


def test_the_command_line_makes_a_key_that_works(organization, capsys):
    call_command("make_key", organization.slug, "--role", "viewer")
    assert api_client(capsys.readouterr().out.strip()).get(f"{API}/agents").status_code == 200


def test_the_command_line_says_what_organizations_there_are():
    with pytest.raises(CommandError, match="there is none yet, make one in the admin"):
        call_command("make_key", "acme")
    make_organization(slug="bats")
    with pytest.raises(CommandError, match="there are: bats"):
        call_command("make_key", "acme")
