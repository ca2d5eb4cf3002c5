"""Tags: words of an organization that mark tasks."""

import pytest
from uuid_utils.compat import uuid7

from agents.activity import SYSTEM
from agents.models import Activity
from boards.actions.labels import TagNotFound, create_tag, set_tags
from tests.factories import API, client_of, make_board, make_organization, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def test_a_tag_is_created_changed_and_deleted(client):
    response = client.post(f"{API}/tags", {"name": "Night Shift", "color": "00FFaa"})
    assert response.status_code == 201, response.content
    tag = response.json()
    assert (tag["slug"], tag["color"]) == ("night-shift", "00ffaa")
    place = response["Location"]
    changed = client.patch(place, {"name": "Day Shift"}).json()
    assert (changed["name"], changed["slug"]) == ("Day Shift", "night-shift")
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    types = Activity.objects.filter(type__startswith="tag.").order_by("id")
    assert [line.type for line in types] == ["tag.created", "tag.updated", "tag.deleted"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 81),
        ("color", "red"),
        ("color", "#12345"),
        ("color", "1234567"),
        ("color", "12345\n"),
        ("slug", "a b"),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, field, value):
    response = client.post(f"{API}/tags", {"name": "T", field: value})
    assert response.status_code == 422, response.content
    assert {error["field"] for error in response.json()["errors"]} == {field}


def test_a_name_that_makes_no_slug_needs_one(client):
    response = client.post(f"{API}/tags", {"name": "夜"})
    assert [error["field"] for error in response.json()["errors"]] == ["slug"]
    assert client.post(f"{API}/tags", {"name": "夜", "slug": "night"}).status_code == 201


def test_a_slug_is_used_once_in_an_organization(client, organization):
    create_tag(organization, {"name": "Owl"}, by=SYSTEM)
    other = client.post(f"{API}/tags", {"name": "Barn"})
    for response in (
        client.post(f"{API}/tags", {"name": "OWL"}),
        client.patch(other["Location"], {"slug": "owl"}),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "TAG_SLUG_TAKEN")
    assert client_of(make_organization()).post(f"{API}/tags", {"name": "Owl"}).status_code == 201


def test_the_list_is_by_name_and_its_pages_miss_nothing(client, organization):
    for number, name in enumerate(["b", "a", "c", "a", "a"]):
        create_tag(organization, {"name": name, "slug": f"{name}-{number}"}, by=SYSTEM)
    address, names, seen = f"{API}/tags?limit=2", [], set()
    while address:
        page = client.get(address).json()
        names += [tag["name"] for tag in page["results"]]
        seen |= {tag["id"] for tag in page["results"]}
        address = page["next"]
    assert names == ["a", "a", "a", "b", "c"]
    assert len(seen) == 5
    assert len(client.get(f"{API}/tags?search=B").json()["results"]) == 1


def test_tags_of_a_task_are_set(organization):
    task = make_task(make_board(organization))
    one, two = [create_tag(organization, {"name": name}, by=SYSTEM) for name in ("a", "b")]
    assert set_tags(task, [one.id])
    assert set_tags(task, [two.id, two.id])
    assert not set_tags(task, [two.id])
    assert list(task.tags.all()) == [two]
    assert set_tags(task, [])


def test_an_unknown_or_foreign_tag_is_not_there(organization):
    task = make_task(make_board(organization))
    foreign = create_tag(make_organization(), {"name": "a"}, by=SYSTEM)
    own = create_tag(organization, {"name": "a"}, by=SYSTEM)
    unknown = [foreign.id, uuid7()]
    with pytest.raises(TagNotFound) as refused:
        set_tags(task, [own.id, *unknown])
    assert refused.value.facts == {"unknown_tag_ids": sorted(unknown)}
    assert not task.tags.exists()
