"""The interview that sets a board up, and what webhooks brought."""

import pytest
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind, Message
from boards.actions import onboarding
from boards.models import OnboardingSession
from tests.factories import API, client_of, make_agent, make_board, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization)


@pytest.fixture
def place(board):
    return f"{API}/boards/{board.id}/onboarding"


@pytest.fixture
def client(organization):
    return client_of(organization)


@pytest.fixture
def main(organization):
    agent = make_agent(organization)
    return Actor(ActorKind.AGENT, agent.id, agent.name)


def test_an_interview_from_its_start_to_the_draft(client, board, place, main):
    assert client.get(place).json()["code"] == "ONBOARDING_NOT_FOUND"
    response = client.post(place)
    assert (response.status_code, response["Location"][-len(place) :]) == (201, place)
    assert client.post(place).json()["code"] == "ONBOARDING_ALREADY_OPEN"
    assert client.post(f"{place}/answer", {"answer": "x"}).status_code == 409
    onboarding.ask_question(board, "What for?", by=main, options=["Owls", "Barns"])
    answered = client.post(f"{place}/answer", {"answer": "Owls"})
    assert answered.status_code == 200, answered.content
    assert answered.json()["questions"] == [
        {
            "question": "What for?",
            "options": ["Owls", "Barns"],
            "asked_by": str(main.id),
            "answer": "Owls",
        }
    ]
    told = Message.objects.get(recipient_id=main.id)
    assert (told.kind, told.content) == ("answer", "Owls")
    again = client.post(f"{place}/answer", {"answer": "Owls"}).json()
    assert again["code"] == "ONBOARDING_NOTHING_TO_ANSWER"
    draft = {"objective": "Count owls.", "success_metrics": {"owls": 40}, "autonomy": "balanced"}
    onboarding.finish_draft(board, draft, by=main)
    assert client.get(place).json()["draft"] == draft
    assert client.get(place).json()["status"] == "completed"
    with pytest.raises(onboarding.InterviewOver):
        onboarding.ask_question(board, "More?", by=main)


def test_without_a_session_nothing_is_taken(board, main):
    with pytest.raises(onboarding.OnboardingNotFound):
        onboarding.ask_question(board, "What for?", by=main)
    with pytest.raises(onboarding.OnboardingNotFound):
        onboarding.finish_draft(board, {"objective": "x"}, by=main)


def test_nothing_is_added_to_what_was_confirmed(board, main):
    onboarding.start_onboarding(board, by=SYSTEM)
    OnboardingSession.objects.update(status="confirmed", confirmed_at=timezone.now())
    with pytest.raises(onboarding.OnboardingConfirmed):
        onboarding.finish_draft(board, {"objective": "x"}, by=main)
    onboarding.start_onboarding(board, by=SYSTEM)
    onboarding.finish_draft(board, {"objective": "x"}, by=main)


@pytest.mark.parametrize(
    "draft",
    [
        {},
        [],
        {"objective": " "},
        {"objective": "x", "autonomy": "wild"},
        {"objective": "x", "y": 1},
    ],
)
def test_a_wrong_draft_is_refused(board, main, draft):
    onboarding.start_onboarding(board, by=SYSTEM)
    with pytest.raises(ValidationError):
        onboarding.finish_draft(board, draft, by=main)


def test_questions_have_an_end(board, main):
    onboarding.start_onboarding(board, by=SYSTEM)
    for _ in range(onboarding.MOST_QUESTIONS):
        onboarding.ask_question(board, "And?", by=main)
    with pytest.raises(onboarding.InterviewOver):
        onboarding.ask_question(board, "And?", by=main)
