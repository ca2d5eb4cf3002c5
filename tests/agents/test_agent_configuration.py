"""What is accepted as an agent's configuration, and how the rest is refused."""

import pytest

from agents.models import Agent
from tests.factories import API, client_of, make_agent, make_live_work, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def fields_of(response):
    return {error["field"] for error in response.json()["errors"]}


@pytest.mark.parametrize("tools", [None, [], ["*"], ["Read", "Bash"]])
def test_tools_are_none_all_or_names(client, tools):
    response = client.post(f"{API}/agents", {"name": "A", "tools": tools})
    assert response.status_code == 201, response.content
    assert response.json()["tools"] == tools


def test_an_unknown_tool_is_400_and_names_the_valid_ones(client):
    response = client.post(f"{API}/agents", {"name": "A", "tools": ["Read", "Fly"]})
    assert response.status_code == 400
    problem = response.json()
    assert (problem["code"], problem["unknown"]) == ("UNKNOWN_TOOL", ["Fly"])
    assert "Read" in problem["valid"]
    assert not Agent.objects.exists()


@pytest.mark.parametrize("kind", ["remote", "remote:billing", "remote:a.b-c_9"])
def test_workers_outside_carry_on_what_is_remote(client, kind):
    response = client.post(f"{API}/agents", {"name": "A", "kind": kind})
    assert response.status_code == 201, response.content
    assert response.json()["kind"] == kind


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", "Read"),
        ("tools", ["Read", "Read"]),
        ("tools", [1]),
        ("model", "no-provider"),
        ("model", "martian:large"),
        ("kind", "unheard-of"),
        ("kind", "remote:"),
        ("kind", "remote:Billing"),
        ("kind", "remoter"),
        ("slug", "not a slug"),
        ("slug", "0198f2b4-0000-7000-8000-000000000000"),
        ("slug", ""),
        ("name", ""),
        ("max_turns", 0),
        ("max_turns", 501),
        ("max_concurrency", 0),
        ("token_budget", -1),
        ("seconds_budget", 2**31),
        ("model_settings", {"base_url": "ftp://somewhere"}),
        ("model_settings", {"api_key_env": "SECRET_KEY"}),
        ("model_settings", {"retries": True}),
        ("model_settings", {"temperature": 3}),
        ("model_settings", {"unknown": 1}),
        ("model_settings", None),
        ("actions", []),
        ("actions", {"act": {}}),
        ("actions", {"act": {"prompt": " "}}),
        ("actions", {"act": {"prompt": "x", "extra": 1}}),
        ("actions", {"bad name": {"prompt": "x"}}),
        ("actions", {"act": {"prompt": "x", "input_schema": {"type": "nonsense"}}}),
        ("actions", {"act": {"prompt": "x", "input_schema": {"pattern": "("}}}),
        ("actions", {"act": {"prompt": "x", "output_schema": {"$ref": "http://127.0.0.1:9/x"}}}),
        ("actions", {"act": {"prompt": "x", "output_schema": {"$ref": "#/nowhere"}}}),
        ("actions", {"act": {"prompt": "x", "output_schema": {"$ref": "#"}}}),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, field, value):
    response = client.post(f"{API}/agents", {"name": "A", field: value})
    assert response.status_code == 422, response.content
    assert fields_of(response) == {field}


def test_a_schema_nested_without_measure_is_refused(client):
    schema: dict = {}
    for _ in range(90):
        schema = {"not": schema}
    actions = {"act": {"prompt": "x", "input_schema": schema}}
    response = client.post(f"{API}/agents", {"name": "A", "actions": actions})
    assert response.status_code == 422
    assert fields_of(response) == {"actions"}


def test_every_wrong_field_is_named_at_once(client):
    wrong = {"max_turns": 0, "model": "x", "actions": 1, "unheard_of": 1}
    response = client.post(f"{API}/agents", wrong)
    assert fields_of(response) == {"name", *wrong}


def test_a_whole_configuration_is_kept(client):
    given = {
        "name": "Builder",
        "slug": "Builder-1",
        "description": "Builds.",
        "kind": "react",
        "model": "openai:gpt-5",
        "model_settings": {"base_url": "http://127.0.0.1:8080/v1", "temperature": 0.5},
        "tools": ["Read"],
        "actions": {
            "build": {
                "prompt": "Build {{ what }}",
                "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}},
                "output_schema": {"$defs": {"a": {}}, "$ref": "#/$defs/a"},
            }
        },
        "max_turns": 500,
        "max_concurrency": None,
        "token_budget": 1000,
        "seconds_budget": 60,
    }
    response = client.post(f"{API}/agents", given)
    assert response.status_code == 201, response.content
    assert {**given, "slug": "builder-1"}.items() <= response.json().items()


def test_a_change_is_held_to_the_same_rules(client, organization):
    agent = make_agent(organization)
    assert client.patch(f"{API}/agents/{agent.id}", {"tools": ["Fly"]}).status_code == 400
    assert client.patch(f"{API}/agents/{agent.id}", {"model": "x"}).status_code == 422
    assert client.patch(f"{API}/agents/{agent.id}", {"max_turn": 3}).status_code == 422


HOOK = "agents.runtime.ready_hooks:keep_remotes"


def test_hooks_are_functions_of_the_modules_of_the_installation(client):
    hooks = {"pre_tool": [HOOK], "post_tool": []}
    response = client.post(f"{API}/agents", {"name": "A", "hooks": hooks})
    assert response.status_code == 201, response.content
    assert Agent.objects.get().hooks == response.json()["hooks"] == hooks


def test_without_modules_there_are_no_hooks(client, settings):
    settings.SIGNALBOX_MODULES = []
    response = client.post(f"{API}/agents", {"name": "A", "hooks": {"pre_tool": [HOOK]}})
    assert (response.status_code, fields_of(response)) == (422, {"hooks"})
    assert "SIGNALBOX_MODULES" in response.content.decode()


@pytest.mark.parametrize(
    "hooks",
    [
        None,
        [],
        {"before": [HOOK]},
        {"pre_tool": HOOK},
        {"pre_tool": [HOOK, HOOK]},
        {"pre_tool": [7]},
        {"pre_tool": ["os:system"]},
        {"post_tool": ["agents.models:Agent"]},
        {"post_tool": [f"{HOOK}s"]},
    ],
)
def test_other_hooks_are_refused(client, hooks):
    response = client.post(f"{API}/agents", {"name": "A", "hooks": hooks})
    assert (response.status_code, fields_of(response)) == (422, {"hooks"})
    assert not Agent.objects.exists()


def test_hooks_stay_while_the_agent_is_at_work(organization, client):
    agent = make_agent(organization, hooks={"pre_tool": [HOOK]})
    make_live_work(agent)
    response = client.patch(f"{API}/agents/{agent.id}", {"hooks": {}})
    assert response.json()["code"] == "AGENT_ALREADY_RUNNING"


def test_operators_set_no_hooks(organization):
    agent = make_agent(organization)
    operator = client_of(organization, "operator")
    response = operator.patch(f"{API}/agents/{agent.id}", {"hooks": {"pre_tool": [HOOK]}})
    assert response.status_code == 403
