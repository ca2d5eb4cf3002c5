"""Souls: written as versions, of which the newest is the agent's."""

import pytest

from agents import actions
from agents.activity import SYSTEM
from agents.models import Activity, Agent
from tests.factories import API, all_at_once, client_of, make_agent, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def test_an_agent_without_a_soul_has_number_0(client, organization):
    make_agent(organization, name="Owl")
    soul = client.get(f"{API}/agents/owl/soul").json()
    assert (soul["number"], soul["content"]) == (0, "")


def test_each_write_is_the_next_version(client, organization):
    agent = make_agent(organization, name="Owl", soul="one")
    body = {"content": " two\n", "reason": "better", "source_url": "https://example.org/soul"}
    written = client.put(f"{API}/agents/owl/soul", body)
    assert written.status_code == 200
    assert {**body, "number": 2}.items() <= written.json().items()
    assert client.get(f"{API}/agents/owl/soul").json() == written.json()
    agent.refresh_from_db()
    assert agent.soul == " two\n"
    line = Activity.objects.filter(agent_id=agent.id).first()
    assert (line.type, line.data) == ("agent.soul_written", {"number": 2})


def test_versions_are_listed_newest_first_by_pages(client, organization):
    agent = make_agent(organization, name="Owl")
    for number in range(5):
        actions.write_soul(agent, str(number), by=SYSTEM)
    page = client.get(f"{API}/agents/owl/soul/versions?limit=3").json()
    assert [soul["number"] for soul in page["results"]] == [5, 4, 3]
    rest = client.get(page["next"]).json()
    assert [soul["number"] for soul in rest["results"]] == [2, 1]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"content": ""}, {"content": 5, "reason": []}, {"content": "x", "source_url": "no"}],
)
def test_a_soul_that_is_none_is_422(client, organization, body):
    make_agent(organization, name="Owl")
    assert client.put(f"{API}/agents/owl/soul", body).status_code == 422


def test_another_soul_in_a_change_is_a_version_too(client, organization):
    agent = make_agent(organization, name="Owl", soul="one")
    assert client.patch(f"{API}/agents/owl", {"soul": "one"}).status_code == 200
    assert client.patch(f"{API}/agents/owl", {"soul": "two"}).status_code == 200
    assert [soul.content for soul in agent.soul_versions.all()] == ["two", "one"]


@pytest.mark.django_db(transaction=True)
def test_ten_writers_at_once_make_ten_versions():
    agent = make_agent(make_organization())

    def write(number):
        return lambda: actions.write_soul(agent, f"soul {number}", by=SYSTEM).number

    numbers = all_at_once(*[write(number) for number in range(10)])
    assert sorted(numbers) == list(range(1, 11))
    assert Agent.objects.get().soul == agent.soul_versions.first().content
