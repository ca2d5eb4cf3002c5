"""Organizations, their members and the rule of ranks."""

import pytest

from agents import actions
from agents.activity import SYSTEM, Actor
from agents.errors import LastOwner, RankTooLow
from agents.models import Activity, ActorKind, Membership, Organization, Role
from tests.factories import (
    API,
    all_at_once,
    client_of,
    make_member,
    make_organization,
    make_user,
    signed_in,
)

pytestmark = pytest.mark.django_db


_NEXT = {"viewer": "viewer", "operator": "viewer", "admin": "operator", "owner": "admin"}


def url(organization, rest=""):
    return f"{API}/organizations/{organization.id}{rest}"


def actor(member):
    return Actor(ActorKind.MEMBER, member.user_id, member.user.username)


def test_a_person_founds_an_organization_and_owns_it():
    person = make_user()
    response = signed_in(person).post(f"{API}/organizations", {"name": "Night Watch"})
    assert response.status_code == 201, response.content
    organization = Organization.objects.get()
    assert response["Location"] == url(organization)
    assert organization.slug == "night-watch"
    assert organization.memberships.get().role == Role.OWNER
    types = Activity.objects.values_list("type", flat=True)
    assert list(types) == ["member.added", "organization.created"]


def test_a_key_founds_none():
    response = client_of(make_organization()).post(f"{API}/organizations", {"name": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "PEOPLE_ONLY")


def test_an_organizations_slug_is_its_own():
    make_organization(slug="owls")
    client = signed_in(make_user())
    taken = client.post(f"{API}/organizations", {"name": "x", "slug": "owls"})
    assert (taken.status_code, taken.json()["code"]) == (409, "ORGANIZATION_SLUG_TAKEN")
    assert client.post(f"{API}/organizations", {"name": "Owls"}).json()["slug"] == "owls-2"


def test_a_person_sees_all_of_their_organizations_and_no_other():
    person, other = make_user(), make_organization()
    mine = [make_organization(), make_organization()]
    for organization in mine:
        make_member(organization, Role.VIEWER, person)
    client = signed_in(person)
    listed = client.get(f"{API}/organizations").json()["results"]
    assert [found["id"] for found in listed] == [str(found.id) for found in reversed(mine)]
    assert client.get(url(mine[0])).status_code == 200
    assert client.get(url(other)).status_code == 404


def test_a_key_sees_its_own_organization_only():
    organization, other = make_organization(), make_organization()
    client = client_of(organization)
    listed = client.get(f"{API}/organizations").json()["results"]
    assert [found["id"] for found in listed] == [str(organization.id)]
    for rest in ("", "/members", "/keys"):
        assert client.get(url(other, rest)).status_code == 404


def test_a_role_counts_where_it_was_given():
    person, mine, theirs = make_user(), make_organization(), make_organization()
    make_member(mine, Role.OWNER, person)
    make_member(theirs, Role.VIEWER, person)
    client = signed_in(person)
    assert client.patch(url(mine), {"name": "new"}).status_code == 200
    assert client.patch(url(theirs), {"name": "new"}).status_code == 403
    assert client.post(url(theirs, "/members"), {}).status_code == 403


@pytest.mark.parametrize("change", [{"max_concurrent": 0}, {"slug": "a b"}, {"name": ""}, {"x": 1}])
def test_a_wrong_change_of_an_organization_is_422(change):
    organization = make_organization()
    assert client_of(organization).patch(url(organization), change).status_code == 422


def test_an_organization_is_changed_and_the_change_recorded():
    organization = make_organization()
    change = {"name": "New", "max_concurrent": 5}
    response = client_of(organization).patch(url(organization), change)
    assert change.items() <= response.json().items()
    assert Activity.objects.first().data == {"changed": ["max_concurrent", "name"]}


def test_members_are_added_changed_and_removed():
    organization, person = make_organization(), make_user()
    make_member(organization)
    client = client_of(organization)
    body = {"username": person.username, "role": "operator"}
    added = client.post(url(organization, "/members"), body)
    assert added.status_code == 201, added.content
    assert added.json()["user"] == str(person.id)
    assert client.post(url(organization, "/members"), body).json()["code"] == "ALREADY_MEMBER"
    place = added["Location"]
    assert client.patch(place, {"role": "admin"}).json()["role"] == "admin"
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    types = list(Activity.objects.values_list("type", flat=True)[:3])
    assert types == ["member.removed", "member.changed", "member.added"]


def test_an_unknown_person_or_role_is_422():
    organization = make_organization()
    body = {"username": "nobody", "role": "king"}
    response = client_of(organization).post(url(organization, "/members"), body)
    assert {error["field"] for error in response.json()["errors"]} == {"username", "role"}


@pytest.mark.parametrize("own", Role.values)
@pytest.mark.parametrize("other", Role.values)
def test_nobody_grants_or_removes_a_rank_above_their_own(own, other):
    organization = make_organization()
    make_member(organization, Role.OWNER)
    by = actor(make_member(organization, own))
    member = make_member(organization, other)
    attempts = [
        lambda: actions.add_member(organization, make_user(), other, by=by),
        lambda: actions.change_member(member, _NEXT[other], by=by),
        lambda: actions.remove_member(member, by=by),
    ]
    for attempt in attempts:
        if Role(own).reaches(Role(other)):
            attempt()
        else:
            with pytest.raises(RankTooLow):
                attempt()


def test_a_member_is_not_raised_above_who_raises_them():
    organization = make_organization()
    by = actor(make_member(organization, Role.ADMIN))
    with pytest.raises(RankTooLow):
        actions.change_member(make_member(organization, Role.VIEWER), Role.OWNER, by=by)


def test_the_last_owner_stays():
    organization = make_organization()
    last = make_member(organization, Role.OWNER)
    client = client_of(organization)
    place = url(organization, f"/members/{last.id}")
    assert client.delete(place).json()["code"] == "LAST_OWNER"
    assert client.patch(place, {"role": "viewer"}).json()["code"] == "LAST_OWNER"
    assert client.patch(place, {"role": "owner"}).status_code == 200
    make_member(organization, Role.OWNER)
    assert client.delete(place).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_removed_at_once_one_stays():
    for _ in range(5):
        organization = make_organization()
        first, second = make_member(organization), make_member(organization)
        answers = all_at_once(
            lambda first=first: actions.remove_member(first, by=SYSTEM),
            lambda second=second: actions.change_member(second, Role.VIEWER, by=SYSTEM),
        )
        owners = Membership.objects.filter(organization=organization, role=Role.OWNER)
        assert owners.count() == 1
        assert sum(isinstance(answer, LastOwner) for answer in answers) == 1
