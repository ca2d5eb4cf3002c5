"""The interview that sets a board up: by a main agent, by the built-in questions, to its end."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from agents.activity import SYSTEM
from agents.models import Activity, Gateway, Message
from boards import interview
from boards.actions import drafting, founding, interviewing, onboarding, seat_agent, unseat_agent
from boards.models import Board, MemoryEntry, OnboardingSession, Seat
from tests.boards.agents import AGENT, with_token
from tests.factories import (
    API,
    acting,
    all_at_once,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_seat,
)

pytestmark = pytest.mark.django_db

DRAFT = {
    "objective": "Count owls.",
    "success_metrics": {"owls": 40},
    "target_date": "2031-06-01",
    "autonomy": "ask_first",
    "verbosity": "brief",
    "output_format": "Markdown",
    "update_cadence": "weekly",
    "lead_name": "Olga",
    "lead_soul": "Be patient with owls.",
}
# The answers of a person to the built-in interview, by question.
ANSWERS = {
    "objective": "Count owls.",
    "success_metrics": "owls: 40\nreport: with the council",
    "has_target_date": "Yes, there is a date",
    "target_date": "2031-06-01",
    "autonomy": "balanced",
    "verbosity": "In rhymes",
    "output_format": "Plain text",
    "update_cadence": "weekly",
    "lead_name": "Olga",
    "lead_soul": "With care",
}


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization, name="Owls")


@pytest.fixture
def place(board):
    return f"{API}/boards/{board.id}/onboarding"


@pytest.fixture
def client(organization):
    return client_of(organization, "operator")


@pytest.fixture
def main(organization):
    """A main agent that runs itself."""
    gateway = Gateway.objects.create(organization=organization, name="The inbox")
    return make_agent(organization, name="Max", kind="external", gateway=gateway)


@pytest.fixture
def max_(main):
    """The main agent's client, with its token."""
    return with_token(main)


@pytest.fixture
def asks(board):
    """The address at which the main agent asks."""
    return f"{AGENT}/boards/{board.id}/onboarding"


def ok(response, status=200):
    assert response.status_code == status, response.content
    return response.json()


def refused(response, status, code):
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    return body


def open_of(session):
    return next((asked for asked in session["questions"] if "answer" not in asked), None)


def answer_all(client, place, answers=ANSWERS):
    """Answer what the built-in interview asks until it asks no more; the keys as they came."""
    session, keys = client.get(place).json(), []
    while asked := open_of(session):
        keys.append(asked["key"])
        body = {"key": asked["key"], "answer": answers[asked["key"]]}
        session = ok(client.post(f"{place}/answer", body))
    return keys


def events(board):
    lines = Activity.objects.filter(board_id=board.id, type__startswith="onboarding.")
    return [line.type.partition(".")[2] for line in lines.order_by("id")]


# --- from the start to a board that is set up ----------------------------------------------------


def test_a_board_is_set_up_by_the_main_agent(client, board, place, main, max_, asks):
    refused(client.get(place), 404, "ONBOARDING_NOT_FOUND")
    refused(max_.post(asks, {"question": "What for?"}), 404, "ONBOARDING_NOT_FOUND")
    response = client.post(place, {"interviewer": "main_agent"})
    started = ok(response, 201)
    assert response["Location"].endswith(place)
    assert (started["agent"], started["standing"]["waits_for"]) == (str(main.id), "interviewer")
    refused(client.post(place), 409, "ONBOARDING_ALREADY_OPEN")
    invited = max_.get(f"{AGENT}/inbox").json()["results"][0]
    assert invited["kind"] == "onboarding"
    assert str(board.id) in invited["content"]
    assert "agent_board_onboarding_update" in invited["content"]
    for number in range(1, 7):
        question = {"question": f"Question {number}?", "options": ["Owls", "Barns"]}
        ok(max_.post(asks, question))
        assert client.get(place).json()["standing"]["waits_for"] == "person"
        answered = ok(client.post(f"{place}/answer", {"answer": f"Answer {number}"}))
    assert answered["questions"][-1] == {
        "key": "q6",
        "question": "Question 6?",
        "options": ["Owls", "Barns"],
        "asked_by": str(main.id),
        "answer": "Answer 6",
    }
    inbox = max_.get(f"{AGENT}/inbox").json()["results"]
    assert [each["content"] for each in inbox[1:]] == [f"Answer {n}" for n in range(1, 7)]
    assert {each["kind"] for each in inbox[1:]} == {"answer"}
    handed = ok(max_.post(asks, {"draft": DRAFT}))
    assert (handed["status"], handed["draft"]) == ("completed", DRAFT)
    done = ok(client.post(f"{place}/confirm"))
    assert (done["status"], done["lead_created"]) == ("confirmed", True)
    seat = Seat.objects.select_related("agent").get(board=board, role="lead")
    assert (str(seat.agent.id), seat.agent.name) == (done["lead"], "Olga")
    # It is run where the main agent is, and reached in the same way.
    assert (seat.agent.kind, seat.agent.gateway) == ("external", main.gateway)
    assert seat.agent.soul.startswith("Be patient with owls.")
    assert "weekly" in seat.agent.soul
    board.refresh_from_db()
    assert (board.objective, board.success_metrics) == ("Count owls.", {"owls": 40})
    assert str(board.target_date) == "2031-06-01"
    told = with_token(seat.agent).get(f"{AGENT}/inbox").json()["results"]
    assert "Count owls." in told[0]["content"]
    assert "confirmed" in max_.get(f"{AGENT}/inbox").json()["results"][-1]["content"]
    remembered = MemoryEntry.objects.get(board=board)
    assert remembered.tags == ["onboarding"]
    assert "owls: 40" in remembered.content
    assert events(board) == [
        "started",
        *["question_asked", "question_answered"] * 6,
        "draft_finished",
        "confirmed",
    ]
    refused(max_.post(asks, {"draft": DRAFT}), 409, "ONBOARDING_CONFIRMED")


def test_a_board_is_set_up_by_the_built_in_interview(client, board, place):
    started = ok(client.post(place), 201)
    assert (started["interviewer"], started["agent"]) == ("built_in", None)
    assert open_of(started)["key"] == "objective"
    assert answer_all(client, place) == list(interview.STEP)
    session = client.get(place).json()
    assert session["status"] == "completed"
    assert session["draft"] == {
        **DRAFT,
        "success_metrics": {"owls": 40, "report": "with the council"},
        "autonomy": "balanced",
        "verbosity": "In rhymes",
        "output_format": "plain text",
        "lead_soul": session["draft"]["lead_soul"],
    }
    assert session["draft"]["lead_soul"].startswith("You lead this board with care.")
    ok(client.patch(f"{place}/draft", {"lead_name": "Olaf", "target_date": None}))
    done = ok(client.post(f"{place}/confirm"))
    seat = Seat.objects.select_related("agent").get(board=board, role="lead")
    assert (str(seat.agent.id), seat.agent.name) == (done["lead"], "Olaf")
    # Signalbox runs it, with the board tools of a lead.
    assert seat.agent.kind == "react"
    assert {"agent_lead_create_task", "agent_task_update"} <= {*seat.agent.tools}
    assert "agent_lead_create_agent" not in seat.agent.tools
    board.refresh_from_db()
    assert (board.objective, board.target_date) == ("Count owls.", None)
    assert (board.require_review_before_done, board.auto_start) == (True, True)
    assert events(board) == [
        "started",
        *["question_answered"] * len(interview.STEP),
        "draft_edited",
        "confirmed",
    ]


# --- the built-in interview ----------------------------------------------------------------------


def test_the_next_question_depends_on_the_answers(client, board, place):
    make_seat(board, "lead")
    ok(client.post(place, {"interviewer": "built_in"}), 201)
    keys = answer_all(client, place, {**ANSWERS, "has_target_date": "no"})
    left_out = {"target_date", "lead_name", "lead_soul"}
    assert keys == [key for key in interview.STEP if key not in left_out]
    assert 6 <= len(keys) <= len(interview.STEP) <= 10
    assert client.get(place).json()["draft"]["target_date"] is None


def test_an_answer_is_changed_by_going_back(client, board, place):
    client.post(place)
    for key in ("objective", "success_metrics", "has_target_date", "target_date"):
        ok(client.post(f"{place}/answer", {"answer": ANSWERS[key]}))
    went_back = ok(client.post(f"{place}/answer", {"key": "objective", "answer": "Count bats."}))
    assert went_back["questions"][0]["answer"] == "Count bats."
    assert open_of(went_back)["key"] == "autonomy"
    without = ok(client.post(f"{place}/answer", {"key": "has_target_date", "answer": "no"}))
    assert [asked["key"] for asked in without["questions"]] == [
        "objective",
        "success_metrics",
        "has_target_date",
        "autonomy",
    ]
    again = ok(client.post(f"{place}/answer", {"key": "has_target_date", "answer": "yes"}))
    assert open_of(again)["key"] == "target_date"
    assert len([asked for asked in again["questions"] if "answer" not in asked]) == 1
    assert events(board)[-3:] == ["question_answer_changed"] * 3
    assert answer_all(client, place)[0] == "target_date"
    assert client.get(place).json()["draft"]["objective"] == "Count bats."
    refused(
        client.post(f"{place}/answer", {"key": "objective", "answer": "x"}),
        409,
        "ONBOARDING_INTERVIEW_OVER",
    )


@pytest.mark.parametrize(
    ("key", "answer", "says"),
    [
        ("objective", "  ", "blank"),
        ("success_metrics", "owls: 40\nmany barns", "Line 2 has no name or no aim"),
        ("success_metrics", "owls: 40\nowls: 41", "named twice"),
        ("success_metrics", f"owls: {'x' * 1001}", "too long"),
        ("has_target_date", "perhaps", "Choose one of these: yes, no."),
        ("target_date", "next June", "YYYY-MM-DD"),
        ("target_date", "2031-02-31", "YYYY-MM-DD"),
        ("target_date", "2001-01-01", "is over"),
        ("autonomy", "wild", "ask_first, balanced, autonomous"),
        ("verbosity", "x" * 201, "201 characters; at most 200"),
        ("lead_name", "a\u0000b", ""),
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_not_saved(client, place, key, answer, says):
    client.post(place)
    before = [*interview.STEP][: [*interview.STEP].index(key)]
    for each in before:
        ok(client.post(f"{place}/answer", {"answer": ANSWERS[each]}))
    body = refused(client.post(f"{place}/answer", {"answer": answer}), 422, "VALIDATION_FAILED")
    assert [error["field"] for error in body["errors"]] == ["answer"]
    assert says in body["errors"][0]["detail"], body
    assert open_of(client.get(place).json())["key"] == key


def test_two_who_answer_one_question_do_not_answer_the_next(organization, board, place, client):
    client.post(place)
    body = {"key": "objective", "answer": "Count owls."}
    ok(client.post(f"{place}/answer", body))
    again = ok(client.post(f"{place}/answer", body))
    assert open_of(again)["key"] == "success_metrics"
    assert events(board) == ["started", "question_answered"]
    refused(
        client.post(f"{place}/answer", {"key": "q9", "answer": "x"}),
        404,
        "ONBOARDING_QUESTION_NOT_FOUND",
    )


# --- main agents ---------------------------------------------------------------------------------


def test_a_main_agent_that_cannot_be_asked_is_said_so(client, organization, board, place, main):
    other = make_agent(organization, name="No gateway")
    refused(client.post(place, {"agent": str(other.id)}), 409, "MAIN_AGENT_MISSING")
    seat = seat_agent(make_board(organization), main, by=SYSTEM)
    missing = refused(client.post(place, {"interviewer": "main_agent"}), 409, "MAIN_AGENT_MISSING")
    assert "built-in interview" in missing["detail"]
    strange = make_agent(make_organization())
    refused(client.post(place, {"agent": str(strange.id)}), 422, "VALIDATION_FAILED")
    body = {"interviewer": "built_in", "agent": str(main.id)}
    refused(client.post(place, body), 422, "VALIDATION_FAILED")
    assert not OnboardingSession.objects.exists()
    unseat_agent(seat, by=SYSTEM)
    assert ok(client.post(place), 201)["agent"] == str(main.id)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (lambda main: type(main).objects.update(is_paused=True), "Max is paused."),
        (lambda main: Gateway.objects.update(is_enabled=False), "no gateway that is switched on"),
        (lambda main: main.delete(), "is gone"),
        (
            lambda main: seat_agent(make_board(main.organization), main, by=SYSTEM),
            "has a seat on a board",
        ),
        (
            lambda main: Message.objects.update(state="failed", failure="No route."),
            "could not be told: No route.",
        ),
        (
            lambda main: OnboardingSession.objects.update(
                updated_at=timezone.now() - timedelta(minutes=12)
            ),
            "has said nothing for 12 minutes and is provisioning.",
        ),
    ],
)
def test_an_interviewer_that_does_not_ask_is_told_of(client, place, main, trouble, says):
    ok(client.post(place), 201)
    standing = client.get(place).json()["standing"]
    assert (standing["waits_for"], standing["is_stuck"]) == ("interviewer", False)
    trouble(main)
    standing = client.get(place).json()["standing"]
    assert standing["is_stuck"] is True
    assert says in standing["note"]
    assert "go on with the built-in interview" in standing["note"]


def test_the_built_in_interview_takes_over_with_the_answers(client, board, place, main, max_, asks):
    client.post(place)
    for about, answer in (
        ("objective", "Count owls."),
        ("success_metrics", "many"),
        ("target_date", "2031-06-01"),
        ("", "We like owls."),
    ):
        ok(max_.post(asks, {"question": "?", **({"about": about} if about else {})}))
        ok(client.post(f"{place}/answer", {"answer": answer}))
    ok(max_.post(asks, {"question": "And?"}))
    taken = ok(client.post(f"{place}/take-over"))
    assert taken["interviewer"] == "built_in"
    assert [asked.get("answer") for asked in taken["questions"][:4]] == [
        "Count owls.",
        "many",
        "2031-06-01",
        "We like owls.",
    ]
    # What it understands is answered; `many` is no measure, and asked for again.
    assert open_of(taken)["key"] == "success_metrics"
    refused(max_.post(asks, {"question": "Late?"}), 409, "ONBOARDING_BUILT_IN")
    refused(max_.post(asks, {"draft": DRAFT}), 409, "ONBOARDING_BUILT_IN")
    assert max_.get(f"{AGENT}/inbox").json()["results"][-1]["data"] == {"is_over": True}
    assert ok(client.post(f"{place}/take-over"))["questions"] == taken["questions"]
    keys = answer_all(client, place)
    assert not {"objective", "has_target_date", "target_date"} & {*keys}
    session = client.get(place).json()
    assert session["draft"]["target_date"] == "2031-06-01"
    assert session["questions"][3]["answer"] == "We like owls."
    assert events(board).count("taken_over") == 1
    refused(client.post(f"{place}/answer", {"answer": "x"}), 409, "ONBOARDING_INTERVIEW_OVER")


def test_a_changed_answer_reaches_the_main_agent_too(client, place, max_, asks):
    client.post(place)
    max_.post(asks, {"question": "What for?", "about": "objective"})
    for answer in ("Owls", "Bats", "Bats"):
        ok(client.post(f"{place}/answer", {"key": "q1", "answer": answer}))
    inbox = max_.get(f"{AGENT}/inbox").json()["results"]
    assert [each["content"] for each in inbox[1:]] == ["Owls", "Bats"]
    assert inbox[1]["data"] == {"question": "What for?", "key": "q1", "about": "objective"}
    refused(client.post(f"{place}/answer", {"answer": "x"}), 409, "ONBOARDING_NOTHING_TO_ANSWER")


def test_questions_have_an_end(client, place, max_, asks):
    client.post(place)
    for _ in range(interviewing.MOST_QUESTIONS):
        ok(max_.post(asks, {"question": "And?"}))
    refused(max_.post(asks, {"question": "And?"}), 409, "ONBOARDING_INTERVIEW_OVER")
    ok(max_.post(asks, {"draft": DRAFT}))
    refused(max_.post(asks, {"question": "And?"}), 409, "ONBOARDING_INTERVIEW_OVER")


# --- the draft -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draft", "fields"),
    [
        ({}, {"objective", "success_metrics"}),
        ({"objective": " ", "success_metrics": {}}, {"objective", "success_metrics"}),
        ({**DRAFT, "autonomy": "wild"}, {"autonomy"}),
        ({**DRAFT, "target_date": "2031-02-31"}, {"target_date"}),
        ({**DRAFT, "more": 1}, {"more"}),
        ([], {"draft"}),
    ],
)
def test_a_wrong_draft_is_refused_with_every_field(client, place, max_, asks, draft, fields):
    client.post(place)
    body = refused(max_.post(asks, {"draft": draft}), 422, "VALIDATION_FAILED")
    assert {error["field"].removeprefix("draft.") for error in body["errors"]} == fields
    assert client.get(place).json()["status"] == "active"


def test_people_change_the_draft_and_an_agent_does_not_undo_it(client, board, place, max_, asks):
    client.post(place)
    refused(
        client.patch(f"{place}/draft", {"autonomy": "balanced"}), 409, "ONBOARDING_NOT_FINISHED"
    )
    ok(max_.post(asks, {"draft": {**DRAFT, "verbosity": "long"}}))
    ok(max_.post(asks, {"draft": DRAFT}))
    for wrong in ({}, {"autonomy": "wild"}, {"more": 1}, ["x"]):
        refused(client.patch(f"{place}/draft", wrong), 422, "VALIDATION_FAILED")
    edited = ok(client.patch(f"{place}/draft", {"lead_name": "Olaf", "success_metrics": {}}))
    assert edited["draft"] == {**DRAFT, "lead_name": "Olaf", "success_metrics": {}}
    refused(max_.post(asks, {"draft": DRAFT}), 409, "ONBOARDING_DRAFT_EDITED")
    body = refused(client.post(f"{place}/confirm"), 422, "VALIDATION_FAILED")
    assert [error["field"] for error in body["errors"]] == ["success_metrics"]
    ok(client.patch(f"{place}/draft", {"objective": ""}))
    body = refused(client.post(f"{place}/confirm"), 422, "VALIDATION_FAILED")
    assert {error["field"] for error in body["errors"]} == {"objective", "success_metrics"}
    assert not Seat.objects.filter(board=board).exists()
    assert Activity.objects.filter(type="onboarding.draft_edited").first().data["changed"]


def test_what_is_confirmed_is_what_was_seen(client, place, max_, asks):
    client.post(place)
    ok(max_.post(asks, {"draft": DRAFT}))
    seen = client.get(place)["ETag"]
    ok(max_.post(asks, {"draft": {**DRAFT, "autonomy": "autonomous"}}))
    stale = {"HTTP_IF_MATCH": seen}
    refused(client.post(f"{place}/confirm", **stale), 412, "PRECONDITION_FAILED")
    refused(client.patch(f"{place}/draft", {"lead_name": "X"}, **stale), 412, "PRECONDITION_FAILED")
    ok(client.post(f"{place}/confirm", HTTP_IF_MATCH=client.get(place)["ETag"]))


# --- confirming ----------------------------------------------------------------------------------


def drafted(board, **changes):
    """A session of the board with a draft that waits to be confirmed."""
    return OnboardingSession.objects.create(
        board=board, interviewer="built_in", status="completed", draft={**DRAFT, **changes}
    )


RULES = (
    "block_status_changes_with_pending_approval",
    "require_review_before_done",
    "require_approval_for_done",
    "comment_required_for_review",
    "auto_start",
)


@pytest.mark.parametrize(
    ("autonomy", "rules"),
    [
        ("ask_first", (True, True, True, True, False)),
        ("balanced", (False, True, True, False, True)),
        ("autonomous", (False, False, False, False, True)),
    ],
)
def test_autonomy_is_the_rules_of_the_board(client, board, place, autonomy, rules):
    Board.objects.update(approval_required=["WebFetch"])
    drafted(board, autonomy=autonomy)
    shown = client.get(place).json()["rules"]
    ok(client.post(f"{place}/confirm"))
    board.refresh_from_db()
    assert tuple(getattr(board, name) for name in RULES) == rules
    assert {name: getattr(board, name) for name in shown} == shown
    held = ["WebFetch", "Bash", "Edit", "Write"] if autonomy == "ask_first" else ["WebFetch"]
    assert board.approval_required == held
    lead = Seat.objects.select_related("agent").get(board=board).agent
    assert ("agent_lead_create_agent" in lead.tools) == (autonomy == "autonomous")


def test_a_draft_without_autonomy_leaves_the_rules_alone(client, board, place):
    session = drafted(board)
    del session.draft["autonomy"]
    session.save()
    Board.objects.update(comment_required_for_review=True, require_approval_for_done=False)
    ok(client.post(f"{place}/confirm"))
    board.refresh_from_db()
    assert (board.comment_required_for_review, board.require_approval_for_done) == (True, False)


def test_a_board_that_has_a_lead_keeps_it_and_it_is_told(client, board, place):
    lead = make_seat(board, "lead", name="Lena", soul="Mine.")
    drafted(board)
    done = ok(client.post(f"{place}/confirm"))
    assert (done["lead"], done["lead_created"]) == (str(lead.id), False)
    lead.refresh_from_db()
    assert (lead.name, lead.soul) == ("Lena", "Mine.")
    told = Message.objects.get(recipient=lead)
    assert "Count owls." in told.content
    assert "weekly" in told.content


def test_confirming_again_changes_nothing(client, board, place):
    drafted(board)
    first = ok(client.post(f"{place}/confirm"))
    Board.objects.update(objective="Another by now.")
    assert ok(client.post(f"{place}/confirm"))["lead"] == first["lead"]
    board.refresh_from_db()
    assert board.objective == "Another by now."
    assert Seat.objects.filter(board=board).count() == 1
    assert events(board) == ["confirmed"]


def test_what_is_not_finished_is_not_confirmed(client, place):
    refused(client.post(f"{place}/confirm"), 404, "ONBOARDING_NOT_FOUND")
    client.post(place)
    refused(client.post(f"{place}/confirm"), 409, "ONBOARDING_NOT_FINISHED")


def test_a_board_is_confirmed_whole_or_not_at_all(board, monkeypatch):
    drafted(board)

    def broken(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(founding, "seat_agent", broken)
    with pytest.raises(RuntimeError):
        founding.confirm_draft(board, by=SYSTEM)
    board.refresh_from_db()
    assert board.objective == ""
    assert OnboardingSession.objects.get().status == "completed"


# --- sessions ------------------------------------------------------------------------------------


def test_a_cancelled_session_makes_room_for_another(client, board, place, main, max_, asks):
    refused(client.post(f"{place}/cancel"), 404, "ONBOARDING_NOT_FOUND")
    client.post(place)
    assert ok(client.post(f"{place}/cancel"))["status"] == "cancelled"
    assert client.get(place).json()["standing"]["waits_for"] is None
    refused(client.post(f"{place}/cancel"), 404, "ONBOARDING_NOT_FOUND")
    refused(max_.post(asks, {"question": "?"}), 404, "ONBOARDING_NOT_FOUND")
    ok(client.post(place), 201)
    ok(max_.post(asks, {"draft": DRAFT}))
    ok(client.post(f"{place}/confirm"))
    for path in ("cancel", "take-over"):
        refused(client.post(f"{place}/{path}"), 409, "ONBOARDING_CONFIRMED")
    refused(client.patch(f"{place}/draft", {"lead_name": "x"}), 409, "ONBOARDING_CONFIRMED")
    # A board can be set up anew.
    ok(client.post(place), 201)
    assert events(board).count("cancelled") == 1


def test_an_idempotency_key_starts_and_answers_once(client, board, place):
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}
    assert client.post(place, **key).json() == client.post(place, **key).json()
    for _ in range(2):
        ok(client.post(f"{place}/answer", {"answer": "Count owls."}, **key))
    assert events(board) == ["started", "question_answered"]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "confirmed", "draft": DRAFT},
        {"status": "active", "confirmed_at": timezone.now()},
        {"status": "completed"},
        {"interviewer": "nobody"},
        {"status": "paused"},
    ],
)
def test_the_database_refuses_what_no_session_is(board, fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        OnboardingSession.objects.create(board=board, **fields)


def test_the_draft_is_checked_by_the_action_too(board):
    with pytest.raises(ValidationError):
        drafting.edit_draft(board, {"more": 1}, by=SYSTEM)
    with pytest.raises(ValidationError):
        interviewing.ask_question(board, " ", by=SYSTEM)


# --- two at once ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_starts_at_once_one_is_refused(client, board, place):
    answers = all_at_once(*[lambda: client_of(board.organization).post(place)] * 4)
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201, 409, 409, 409]
    assert OnboardingSession.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_confirm_at_once_one_does_it_and_both_are_told_the_same(board, place):
    drafted(board)
    answers = all_at_once(*[lambda: client_of(board.organization).post(f"{place}/confirm")] * 4)
    assert [answer.status_code for answer in answers] == [200] * 4, answers
    assert len({answer.json()["lead"] for answer in answers}) == 1
    assert Seat.objects.filter(board=board).count() == 1
    assert MemoryEntry.objects.filter(board=board).count() == 1
    assert events(board) == ["confirmed"]


@pytest.mark.django_db(transaction=True)
def test_answers_and_questions_at_once_lose_none(client, board, place, main):
    onboarding.start_onboarding(board, by=SYSTEM)
    for _ in range(4):
        interviewing.ask_question(board, "?", by=acting(main))
    calls = [
        lambda number=number: interviewing.answer_question(board, f"{number}", by=SYSTEM)
        for number in range(4)
    ]
    asks = [lambda: interviewing.ask_question(board, "More?", by=acting(main))] * 2
    assert not [each for each in all_at_once(*calls, *asks) if isinstance(each, Exception)]
    questions = OnboardingSession.objects.get().questions
    assert [asked["key"] for asked in questions] == [f"q{number}" for number in range(1, 7)]
    assert sorted(asked.get("answer", "-") for asked in questions) == ["-", "-", *"0123"]
    told = Message.objects.filter(recipient=main, kind="answer")
    assert told.count() == 4


@pytest.mark.django_db(transaction=True)
def test_a_confirmation_and_a_cancel_at_once_end_it_in_one_way(board):
    for _ in range(3):
        drafted(board)
        answers = all_at_once(
            lambda: founding.confirm_draft(board, by=SYSTEM),
            lambda: onboarding.cancel_onboarding(board, by=SYSTEM),
        )
        assert len([each for each in answers if isinstance(each, Exception)]) == 1, answers
        status = OnboardingSession.objects.filter(board=board).first().status
        confirmed = not isinstance(answers[0], Exception)
        assert status == ("confirmed" if confirmed else "cancelled")
