"""Messages as operators read, answer and send them again."""

from __future__ import annotations

import pytest

from agents.models import Activity, Agent, Gateway, Message
from boards.models import MemoryEntry
from tests.boards.agents import AGENT, World, with_token
from tests.factories import API, client_of, counted_queries, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world):
    return client_of(world.organization)


@pytest.fixture
def question(world) -> Message:
    body = {"content": "Which owls?", "correlation_id": "owls-1", "reply_tags": ["owls"]}
    asked = with_token(world.lead).post(f"{world.home}/gateway/main/ask-user", body)
    return Message.objects.get(pk=asked.json()["message_id"])


def test_an_answer_is_remembered_and_reaches_who_asked(world, client, question) -> None:
    place = f"{API}/messages/{question.id}"
    answered = client.post(f"{place}/answer", {"content": "The barn owls."})
    assert answered.status_code == 200, answered.content
    assert (answered.json()["answer"], answered.json()["state"]) == (
        "The barn owls.",
        "acknowledged",
    )
    entry = MemoryEntry.objects.get(board=world.board)
    assert (entry.content, entry.tags) == ("The barn owls.", ["owls"])
    (told,) = with_token(world.lead).get(f"{AGENT}/inbox").json()["results"]
    assert (told["kind"], told["correlation_id"]) == ("answer", "owls-1")
    again = client.post(f"{place}/answer", {"content": "No, tawny owls."})
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_ANSWERED")


def test_an_answer_can_be_remembered_with_all_tags_that_were_asked_for(world, client) -> None:
    path, lead = f"{world.home}/gateway/main/ask-user", with_token(world.lead)
    tags = [f"{number:080}" for number in range(21)]
    body = {"content": "Which owls?", "reply_source": "s" * 200}
    assert lead.post(path, {**body, "reply_tags": tags}).status_code == 422
    assert lead.post(path, {**body, "reply_tags": ["t" * 81]}).status_code == 422
    asked = lead.post(path, {**body, "reply_tags": tags[:20]}).json()
    place = f"{API}/messages/{asked['message_id']}/answer"
    assert client.post(place, {"content": "w" * 100_000}).status_code == 200
    assert MemoryEntry.objects.get().tags == tags[:20]


def test_what_was_meant_for_an_agent_that_is_gone_is_not_sent_again(world, client) -> None:
    gateway = Gateway.objects.create(organization=world.organization, name="Off", is_enabled=False)
    Agent.objects.filter(pk=world.worker.pk).update(gateway=gateway)
    world.task(assigned_agent=world.worker)
    world.worker.delete()
    failed = Message.objects.get(state="failed")
    answer = client.post(f"{API}/messages/{failed.id}/resend")
    assert (answer.status_code, answer.json()["code"]) == (404, "AGENT_NOT_FOUND")
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_only_questions_are_answered(world, client) -> None:
    nudge = f"{world.home}/agents/{world.worker.id}/nudge"
    with_token(world.lead).post(nudge, {"message": "Go on."})
    message = Message.objects.get()
    answer = client.post(f"{API}/messages/{message.id}/answer", {"content": "No."})
    assert (answer.status_code, answer.json()["code"]) == (409, "NOT_A_QUESTION")


def test_a_failed_message_is_sent_again(world, client) -> None:
    gateway = Gateway.objects.create(organization=world.organization, name="Off", is_enabled=False)
    Agent.objects.filter(pk=world.worker.pk).update(gateway=gateway)
    world.task(assigned_agent=world.worker)
    failed = Message.objects.get(state="failed")
    place = f"{API}/messages/{failed.id}/resend"
    still_off = client.post(place)
    assert (still_off.status_code, still_off.json()["code"]) == (422, "GATEWAY_UNREACHABLE")
    Gateway.objects.update(is_enabled=True)
    sent = client.post(place)
    assert (sent.json()["state"], sent.json()["attempts"]) == ("delivered", 2)
    assert client.post(place).json()["code"] == "MESSAGE_NOT_FAILED"
    assert Activity.objects.filter(type="message.sent_again").count() == 1


def test_messages_are_filtered_and_of_one_organization(world, client, question) -> None:
    world.task(assigned_agent=world.worker)

    def kinds(**query: str) -> list[str]:
        return [each["kind"] for each in client.get(f"{API}/messages", query).json()["results"]]

    assert kinds() == ["assignment", "question"]
    assert kinds(audience="people") == ["question"]
    assert kinds(agent=str(world.worker.id)) == ["assignment"]
    assert kinds(state="failed") == []
    stranger = client_of(make_organization())
    assert stranger.get(f"{API}/messages").json()["results"] == []
    assert stranger.get(f"{API}/messages/{question.id}").status_code == 404
    assert (
        stranger.post(f"{API}/messages/{question.id}/answer", {"content": "x"}).status_code == 404
    )


def test_the_list_is_constant_in_queries(world, client) -> None:
    client.get(f"{API}/messages")  # The first call notes the use of its key.
    counts = []
    for _ in range(2):
        world.task(assigned_agent=world.worker)
        with counted_queries() as queries:
            client.get(f"{API}/messages")
        counts.append(len(queries))
    assert counts[0] == counts[1]
