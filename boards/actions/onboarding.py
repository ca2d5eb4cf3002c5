"""Sets a board up by an interview: questions, answers, and the draft that comes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from agents import messages
from agents.actions import configuration as of_agents
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.models import ActorKind, Agent, MessageKind
from boards.actions.configuration import SUCCESS_METRICS_SHAPE
from boards.models import Board, OnboardingSession, OnboardingStatus

MOST_QUESTIONS = 30
_SHORT = {"type": "string", "maxLength": 200}
_LONG = {"type": "string", "maxLength": 20_000}
OPTIONS_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "maxItems": 20,
}
DRAFT_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["objective"],
    "properties": {
        "objective": {**_LONG, "minLength": 1},
        "success_metrics": SUCCESS_METRICS_SHAPE,
        "target_date": {"type": ["string", "null"], "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "autonomy": {"enum": ["ask_first", "balanced", "autonomous"]},
        "verbosity": _SHORT,
        "output_format": _SHORT,
        "update_cadence": _SHORT,
        "lead_name": _SHORT,
        "lead_soul": _LONG,
    },
}


class OnboardingNotFound(Refusal):
    """The board has no onboarding session; a person starts one."""

    code = "ONBOARDING_NOT_FOUND"
    status_code = 404


class OnboardingOpen(Refusal):
    """The board is being set up already."""

    code = "ONBOARDING_ALREADY_OPEN"


class OnboardingConfirmed(Refusal):
    """The draft was confirmed; nothing is added to it."""

    code = "ONBOARDING_CONFIRMED"


class InterviewOver(Refusal):
    """The draft is finished or the questions are too many; only another draft is taken."""

    code = "ONBOARDING_INTERVIEW_OVER"


class NothingToAnswer(Refusal):
    """No question is open."""

    code = "ONBOARDING_NOTHING_TO_ANSWER"


@transaction.atomic
def start_onboarding(board: Board, *, by: Actor) -> OnboardingSession:
    """Begin the interview of a board. Raises `OnboardingOpen`."""
    try:
        with transaction.atomic():
            session = OnboardingSession.objects.create(board=board)
    except IntegrityError as error:
        raise OnboardingOpen from error
    _tell("onboarding.started", session, by)
    return session


@transaction.atomic
def ask_question(
    board: Board, question: str, *, by: Actor, options: Sequence[str] = ()
) -> OnboardingSession:
    """Put the next question, with answers to choose from if there are any.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewOver`, `ValidationError`.
    """
    of_agents.check(
        {"question": question, "options": list(options)},
        {"question": check_question, "options": check_options},
    )
    session = _open_session(board)
    finished = session.status != OnboardingStatus.ACTIVE
    if finished or len(session.questions) >= MOST_QUESTIONS:
        raise InterviewOver
    asked: dict[str, Any] = {"question": question}
    if options:
        asked["options"] = list(options)
    if by.kind == ActorKind.AGENT:
        asked["asked_by"] = str(by.id)
    _write(session, questions=[*session.questions, asked])
    _tell("onboarding.question_asked", session, by, question=question[:500])
    return session


@transaction.atomic
def answer_question(board: Board, answer: str, *, by: Actor) -> OnboardingSession:
    """Answer the oldest open question; the agent that asked it is told.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `NothingToAnswer`, `ValidationError`.
    """
    of_agents.check({"answer": answer}, {"answer": check_question})
    session = _open_session(board)
    asked = next((asked for asked in session.questions if "answer" not in asked), None)
    if asked is None:
        raise NothingToAnswer
    asked["answer"] = answer
    _write(session, questions=session.questions)
    _tell("onboarding.question_answered", session, by, question=asked["question"][:500])
    _tell_interviewer(session, asked, by)
    return session


@transaction.atomic
def finish_draft(board: Board, draft: Mapping[str, Any], *, by: Actor) -> OnboardingSession:
    """Hand in the draft, or another one until it is confirmed.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `ValidationError`.
    """
    of_agents.check({"draft": draft}, {"draft": check_draft})
    session = _open_session(board)
    _write(session, draft=draft, status=OnboardingStatus.COMPLETED)
    _tell("onboarding.draft_finished", session, by)
    return session


def check_question(value: str) -> None:
    of_agents.check_shape({**_LONG, "pattern": r"\S"}, value)


def check_options(value: Any) -> None:
    of_agents.check_shape(OPTIONS_SHAPE, value)


def check_draft(value: Any) -> None:
    of_agents.check_shape(DRAFT_SHAPE, value)
    if not value["objective"].strip():
        raise ValidationError("$.objective: may not be blank.", code="blank")


def _open_session(board: Board) -> OnboardingSession:
    """The newest session, locked. A board that is set up anew has confirmed ones before it."""
    session = board.onboarding_sessions.select_for_update(no_key=True).first()
    if session is None:
        raise OnboardingNotFound
    if session.status == OnboardingStatus.CONFIRMED:
        raise OnboardingConfirmed
    return session


def _write(session: OnboardingSession, **changed: Any) -> None:
    for name, value in changed.items():
        setattr(session, name, value)
    session.save(update_fields=[*changed, "updated_at"])


def _tell_interviewer(session: OnboardingSession, asked: Mapping[str, Any], by: Actor) -> None:
    agents = Agent.objects.filter(organization=session.board.organization_id)
    asked_by = [asked["asked_by"]] if "asked_by" in asked else []
    agent = agents.select_related("gateway").filter(pk__in=asked_by).first()
    if agent is None:
        return
    letter = messages.Letter(
        kind=MessageKind.ANSWER,
        content=asked["answer"],
        recipient=agent,
        about=Target(board_id=session.board_id),
        correlation_id=f"onboarding:{session.id}",
        facts={"question": asked["question"]},
    )
    messages.notify(session.board.organization, letter, by=by)


def _tell(event: str, session: OnboardingSession, by: Actor, **facts: Any) -> None:
    about = Target(board_id=session.board_id)
    record(session.board.organization_id, event, by=by, target=about, **facts)
