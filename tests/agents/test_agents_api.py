"""Agents over REST: created, found, configured, deleted."""

import threading

import pytest
from django.db import transaction

from agents import actions
from agents.activity import SYSTEM
from agents.errors import AgentAlreadyRunning, AgentSlugTaken
from agents.live import hold
from agents.models import Activity, Agent
from boards.actions import seat_agent
from tests.factories import (
    API,
    all_at_once,
    client_of,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def types_about(agent_id):
    return list(Activity.objects.filter(agent_id=agent_id).values_list("type", flat=True))


def test_a_new_agent_is_201_with_its_place(client):
    response = client.post(f"{API}/agents", {"name": "Night Watch"})
    assert response.status_code == 201
    agent = response.json()
    assert agent["slug"] == "night-watch"
    assert response["Location"] == f"{API}/agents/{agent['id']}"
    assert client.get(response["Location"]).json() == agent
    assert types_about(agent["id"]) == ["agent.created"]


def test_an_agent_is_found_by_slug_in_any_case(client, organization):
    agent = make_agent(organization, name="Owl")
    for named in ("owl", "OWL", str(agent.id)):
        assert client.get(f"{API}/agents/{named}").json()["id"] == str(agent.id)


@pytest.mark.parametrize(
    "named", ["nobody", "a b", "%20", "ä", "0" * 32, "0198f2b4-0000-7000-8000-000000000000"]
)
def test_an_agent_that_does_not_exist_is_404(client, named):
    response = client.get(f"{API}/agents/{named}")
    assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")


def test_a_slug_made_from_a_name_gets_a_suffix(client):
    slugs = [client.post(f"{API}/agents", {"name": "Owl"}).json()["slug"] for _ in range(3)]
    assert slugs == ["owl", "owl-2", "owl-3"]


def test_a_name_without_letters_still_gives_a_slug(client):
    assert client.post(f"{API}/agents", {"name": "夜警"}).json()["slug"] == "agent"


def test_a_slug_asked_for_twice_is_409(client):
    client.post(f"{API}/agents", {"name": "Owl", "slug": "owl"})
    response = client.post(f"{API}/agents", {"name": "Other", "slug": "OWL"})
    assert (response.status_code, response.json()["code"]) == (409, "AGENT_SLUG_TAKEN")
    other = client.post(f"{API}/agents", {"name": "Other"}).json()["id"]
    response = client.patch(f"{API}/agents/{other}", {"slug": "owl"})
    assert (response.status_code, response.json()["code"]) == (409, "AGENT_SLUG_TAKEN")


def test_two_organizations_may_use_one_slug(client):
    make_agent(make_organization(), slug="owl")
    assert client.post(f"{API}/agents", {"name": "x", "slug": "owl"}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_two_who_ask_for_one_slug_one_gets_it():
    organization = make_organization()

    def ask():
        return actions.create_agent(organization, {"name": "x", "slug": "owl"}, by=SYSTEM)

    answers = all_at_once(*[ask] * 4)
    assert sum(isinstance(answer, Agent) for answer in answers) == 1
    assert sum(isinstance(answer, AgentSlugTaken) for answer in answers) == 3


@pytest.mark.django_db(transaction=True)
def test_agents_of_one_name_made_at_once_get_different_slugs():
    organization = make_organization()

    def ask():
        return actions.create_agent(organization, {"name": "Owl"}, by=SYSTEM).slug

    assert set(all_at_once(*[ask] * 4)) == {"owl", "owl-2", "owl-3", "owl-4"}


def test_a_change_is_recorded_with_what_changed(client, organization):
    agent = make_agent(organization, name="Owl")
    change = {"name": "Owl", "description": "new", "max_turns": 9}
    response = client.patch(f"{API}/agents/owl", change)
    assert response.status_code == 200
    line = Activity.objects.get(agent_id=agent.id, type="agent.updated")
    assert line.data == {"changed": ["description", "max_turns"]}
    assert line.actor_kind == "key"


def test_a_change_that_changes_nothing_is_not_recorded(client, organization):
    agent = make_agent(organization, name="Owl")
    assert client.patch(f"{API}/agents/owl", {"name": "Owl"}).status_code == 200
    assert types_about(agent.id) == ["agent.created"]


def test_a_stale_etag_is_412_and_changes_nothing(client, organization):
    make_agent(organization, name="Owl")
    etag = client.get(f"{API}/agents/owl")["ETag"]
    first = client.patch(f"{API}/agents/owl", {"description": "1"}, HTTP_IF_MATCH=etag)
    second = client.patch(f"{API}/agents/owl", {"description": "2"}, HTTP_IF_MATCH=etag)
    assert (first.status_code, second.status_code) == (200, 412)
    assert first["ETag"] != etag
    assert Agent.objects.get().description == "1"


@pytest.mark.parametrize("change", [{"tools": ["Read"]}, {"model": "scripted:echo"}])
def test_tools_and_model_of_an_agent_at_work_stay(client, organization, change):
    agent = make_agent(organization, name="Owl")
    live = make_live_work(agent)
    response = client.patch(f"{API}/agents/owl", change)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(live.execution_id)
    assert problem["current_task_id"] is None
    assert client.patch(f"{API}/agents/owl", {"name": "Other"}).status_code == 200
    live.delete()
    assert client.patch(f"{API}/agents/owl", change).status_code == 200


def test_an_agent_at_work_is_not_deleted(client, organization):
    agent = make_agent(organization, name="Owl")
    live = make_live_work(agent)
    response = client.delete(f"{API}/agents/owl")
    assert (response.status_code, response.json()["code"]) == (409, "AGENT_ALREADY_RUNNING")
    live.delete()
    assert client.delete(f"{API}/agents/owl").status_code == 204
    assert client.get(f"{API}/agents/owl").status_code == 404
    assert types_about(agent.id)[0] == "agent.deleted"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act",
    [
        lambda agent: actions.configure_agent(agent, {"tools": ["Read"]}, by=SYSTEM),
        lambda agent: actions.delete_agent(agent, by=SYSTEM),
    ],
)
def test_a_start_that_is_not_yet_committed_is_waited_for_and_seen(act):
    agent = make_agent(make_organization())
    started = threading.Event()

    def start():
        with transaction.atomic():
            hold(agent)
            make_live_work(agent)
            started.set()
            wait_until(somebody_waits_for_a_lock)

    def change():
        started.wait()
        act(agent)

    committed, changed = all_at_once(start, change)
    assert committed is None
    assert isinstance(changed, AgentAlreadyRunning)
    assert Agent.objects.get().tools is None


@pytest.mark.django_db(transaction=True)
def test_starts_of_one_agent_do_not_wait_for_each_other():
    agent, both = make_agent(make_organization()), threading.Barrier(2)

    def start():
        with transaction.atomic():
            held = hold(agent)
            make_live_work(agent)
            both.wait(timeout=10)
            return held

    assert all_at_once(start, start) == [agent, agent]


@pytest.mark.django_db(transaction=True)
def test_a_start_of_an_agent_that_is_gone_finds_nothing():
    agent = make_agent(make_organization())
    actions.delete_agent(agent, by=SYSTEM)
    with pytest.raises(Agent.DoesNotExist), transaction.atomic():
        hold(agent)


def test_the_list_is_filtered(client, organization):
    owl = make_agent(organization, name="Owl", description="sees in the dark")
    cat = make_agent(organization, name="Cat")
    actions.pause_agent(cat, by=SYSTEM)
    board = make_board(organization)
    seat_agent(board, owl, by=SYSTEM)

    def names(query):
        return [agent["name"] for agent in client.get(f"{API}/agents?{query}").json()["results"]]

    assert names("") == ["Cat", "Owl"]
    assert names("is_paused=true") == ["Cat"]
    assert names("is_paused=false") == ["Owl"]
    assert names("search=DARK") == ["Owl"]
    assert names(f"board={board.id}") == ["Owl"]
    assert names("kind=react") == ["Cat", "Owl"]
    assert client.get(f"{API}/agents?colour=red").status_code == 400
    assert client.get(f"{API}/agents?is_paused=maybe").status_code == 422
    assert client.get(f"{API}/agents?board=x").status_code == 422


def test_pages_go_through_all_agents_once(client, organization):
    made = [make_agent(organization).name for _ in range(5)]
    seen, link = [], f"{API}/agents?limit=2"
    while link:
        page = client.get(link).json()
        seen += [agent["name"] for agent in page["results"]]
        link = page["next"]
    assert seen == made[::-1]


def test_rotating_shows_the_new_token_once_and_ends_the_old(client, organization):
    agent = make_agent(organization, name="Owl")
    old, _ = actions.create_token(agent, by=SYSTEM)
    sent = {"HTTP_IDEMPOTENCY_KEY": "k"}
    first = client.post(f"{API}/agents/owl/rotate-token", **sent)
    again = client.post(f"{API}/agents/owl/rotate-token", **sent)
    assert first.json()["token"].startswith("sba_")
    assert "token" not in again.json()
    old.refresh_from_db()
    assert old.revoked_at is not None
    assert agent.tokens.filter(revoked_at=None).get().prefix == first.json()["prefix"]
    assert types_about(agent.id)[:2] == ["token.created", "token.revoked"]


def test_a_creation_repeated_with_its_key_is_made_once(client):
    sent = {"HTTP_IDEMPOTENCY_KEY": "once"}
    first = client.post(f"{API}/agents", {"name": "Owl"}, **sent)
    again = client.post(f"{API}/agents", {"name": "Owl"}, **sent)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again["Location"]) == (first.json(), first["Location"])
    assert Agent.objects.count() == 1


def test_there_is_no_put_of_an_agent(client, organization):
    make_agent(organization, name="Owl")
    assert client.put(f"{API}/agents/owl", {"name": "x"}).status_code == 405
