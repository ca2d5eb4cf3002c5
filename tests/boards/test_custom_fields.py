"""Custom fields: what they may be, and what values tasks may have in them."""

import time

import pytest

from agents.activity import SYSTEM
from boards.actions.custom_fields import WrongFieldValues, create_field, set_values
from boards.models import CustomField, FieldType, Task
from tests.factories import API, client_of, make_board, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization)


@pytest.fixture
def client(organization):
    return client_of(organization)


def add(board, kind="text", key="f", **fields):
    fields = {"key": key, "name": key, "type": kind, "boards": [board.id], **fields}
    return create_field(board.organization, fields, by=SYSTEM)


def values_of(task):
    return dict(task.custom_field_values.values_list("field__key", "value"))


def refusal(task, values, *, is_new=False):
    with pytest.raises(WrongFieldValues) as refused:
        set_values(task, values, is_new=is_new)
    return refused.value.facts


GOOD = [
    ("text", "owl", "owl"),
    ("text", "", ""),
    ("text_long", "x" * 100_000, "x" * 100_000),
    ("integer", -3, -3),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("decimal", "10.50", "10.50"),
    ("decimal", 0.1, "0.1"),
    ("decimal", 7, "7"),
    ("decimal", "1e3", "1000"),
    ("boolean", False, False),
    ("date", "2026-02-28", "2026-02-28"),
    ("date_time", "2026-02-28T12:00:00+02:00", "2026-02-28T10:00:00Z"),
    ("date_time", "2026-02-28T12:00:00", "2026-02-28T12:00:00Z"),
    ("url", "https://example.org/a?b=c", "https://example.org/a?b=c"),
    ("json", {"a": [1, None]}, {"a": [1, None]}),
    ("json", False, False),
]
BAD = [
    ("text", 1),
    ("text", "x" * 1001),
    ("text", "a\x00b"),
    ("text_long", "x" * 100_001),
    ("integer", 1.0),
    ("integer", True),
    ("integer", "1"),
    ("integer", 2**63),
    ("decimal", "NaN"),
    ("decimal", True),
    ("decimal", "1_0"),
    ("decimal", " 1"),
    ("decimal", "1e999999"),
    ("decimal", "0" * 99 + "." + "1" * 99),
    ("decimal", "1" * 51),
    ("boolean", 0),
    ("boolean", "true"),
    ("date", "20260228"),
    ("date", "2026-02-30"),
    ("date", 20260228),
    ("date_time", "2026-02-28"),
    ("date_time", "0001-01-01T00:00:00+14:00"),
    ("date_time", "soon"),
    ("url", "javascript:alert(1)"),
    ("url", "example.org"),
    ("json", "x" * 70_000),
    ("json", {"a": "\x00"}),
]


@pytest.mark.parametrize(("kind", "given", "stored"), GOOD)
def test_a_good_value_is_kept(board, kind, given, stored):
    add(board, kind)
    task = Task.objects.create(board=board, title="A task")
    assert set_values(task, {"f": given}, is_new=False)
    assert values_of(task) == {"f": stored}
    assert not set_values(task, {"f": given}, is_new=False)
    assert set_values(task, {"f": None}, is_new=False)
    assert values_of(task) == {}


@pytest.mark.parametrize(("kind", "given"), BAD)
def test_a_bad_value_is_refused_with_field_and_reason(board, kind, given):
    add(board, kind)
    task = Task.objects.create(board=board, title="A task")
    error = refusal(task, {"f": given})["errors"][0]
    assert error["field"] == "custom_field_values.f"
    assert error["code"]
    assert error["detail"]
    assert values_of(task) == {}


def test_every_type_is_in_the_tables():
    assert {row[0] for row in GOOD} == {row[0] for row in BAD} == set(FieldType.values)


def test_all_problems_come_at_once(board):
    add(board, "integer", "size")
    add(board, "text", "owner", is_required=True)
    facts = refusal(
        Task.objects.create(board=board, title="A task"), {"size": "x", "gone": 1, "owner": None}
    )
    assert facts["unknown_field_keys"] == ["gone"]
    assert facts["missing_field_keys"] == ["owner"]
    assert {error["code"] for error in facts["errors"]} == {
        "unknown_field",
        "required",
        "not_an_integer",
    }


def test_a_field_of_another_board_is_unknown(organization, board):
    add(make_board(organization))
    assert refusal(Task.objects.create(board=board, title="A task"), {"f": "x"})[
        "unknown_field_keys"
    ] == ["f"]


def test_a_new_task_gets_defaults_and_needs_what_is_required(board):
    add(board, "integer", "size", default=3)
    add(board, "text", "owner", is_required=True)
    task = Task.objects.create(board=board, title="A task")
    assert refusal(task, {}, is_new=True)["missing_field_keys"] == ["owner"]
    set_values(task, {"owner": "Ann"}, is_new=True)
    assert values_of(task) == {"owner": "Ann", "size": 3}
    assert refusal(task, {"owner": " "})["errors"][0]["code"] == "blank"
    set_values(task, {"size": 4}, is_new=False)
    assert values_of(task) == {"owner": "Ann", "size": 4}


def test_one_and_true_differ(board):
    add(board, "json")
    task = Task.objects.create(board=board, title="A task")
    set_values(task, {"f": [1]}, is_new=False)
    assert set_values(task, {"f": [True]}, is_new=False)


def test_a_pattern_holds_for_the_whole_value(board):
    add(board, validation_regex=r"[A-Z]{2}-\d+")
    task = Task.objects.create(board=board, title="A task")
    set_values(task, {"f": "AB-12"}, is_new=False)
    assert refusal(task, {"f": "AB-12 and more"})["errors"][0]["code"] == "pattern"


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(?:(?:a{1,9}){1,9}){1,9}b"])
def test_a_catastrophic_pattern_is_bounded(board, pattern):
    add(board, "text_long", validation_regex=pattern)
    task, started = Task.objects.create(board=board, title="A task"), time.process_time()
    refusal(task, {"f": "a" * 99_999 + "!"})
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "pattern", ["(", "a{999999999}", "(a|b|c){999999999}", "(?=a)", r"(a)\1", r"(?:\w\pL){300}"]
)
def test_what_cannot_be_compiled_within_bounds_is_refused_when_saved(client, pattern):
    body = {"key": "k", "name": "K", "type": "text", "validation_regex": pattern}
    response = client.post(f"{API}/custom-fields", body)
    assert response.status_code == 422, response.content
    assert {error["field"] for error in response.json()["errors"]} == {"validation_regex"}


def test_a_field_is_created_changed_and_deleted(client, board):
    body = {
        "key": "Size",
        "name": "Size",
        "type": "integer",
        "required": True,
        "default": 3,
        "ui_visibility": "if_set",
        "boards": [str(board.id)],
    }
    response = client.post(f"{API}/custom-fields", body)
    assert response.status_code == 201, response.content
    field = response.json()
    assert {**body, "key": "size"}.items() <= field.items()
    place = response["Location"]
    assert client.get(place).json() == field
    assert client.patch(place, {"default": None, "boards": []}).json()["boards"] == []
    assert client.patch(place, {"key": "SIZE", "type": "integer"}).status_code == 200
    for fixed in ({"key": "other"}, {"type": "text"}):
        refused = client.patch(place, fixed).json()
        assert refused["errors"][0]["code"] == "fixed"
    assert client.delete(place).status_code == 204
    assert not CustomField.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "a b"),
        ("type", "colour"),
        ("default", "three"),
        ("ui_visibility", "never"),
        ("validation_regex", "[0-9]"),
        ("boards", ["x"]),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, field, value):
    body = {"key": "k", "name": "K", "type": "integer", field: value}
    response = client.post(f"{API}/custom-fields", body)
    assert response.status_code == 422, response.content
    assert {error["field"].split("[")[0] for error in response.json()["errors"]} == {field}


def test_a_default_matches_the_pattern(client):
    body = {"key": "k", "name": "K", "type": "text", "validation_regex": "a+", "default": "b"}
    response = client.post(f"{API}/custom-fields", body)
    assert [error["field"] for error in response.json()["errors"]] == ["default"]


def test_a_key_is_used_once_in_an_organization(client, board):
    add(board)
    response = client.post(f"{API}/custom-fields", {"key": "F", "name": "F", "type": "text"})
    assert (response.status_code, response.json()["code"]) == (409, "CUSTOM_FIELD_KEY_TAKEN")
    other = client_of(make_organization())
    body = {"key": "f", "name": "F", "type": "text"}
    assert other.post(f"{API}/custom-fields", body).status_code == 201


def test_a_board_of_another_organization_is_not_there(client):
    foreign = str(make_board(make_organization()).id)
    body = {"key": "k", "name": "K", "type": "text", "boards": [foreign]}
    response = client.post(f"{API}/custom-fields", body)
    assert (response.status_code, response.json()["unknown_board_ids"]) == (404, [foreign])


def test_the_list_is_by_key_and_filtered(client, organization, board):
    add(board, key="b")
    add(make_board(organization), "date", "a")

    def keys(query):
        page = client.get(f"{API}/custom-fields?{query}").json()["results"]
        return [field["key"] for field in page]

    assert keys("") == ["a", "b"]
    assert keys(f"board={board.id}") == ["b"]
    assert keys("type=date") == ["a"]
