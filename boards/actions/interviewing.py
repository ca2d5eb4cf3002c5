"""The questions of an onboarding: an agent's or the built-in ones, and what people answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.actions import configuration as of_agents
from agents.activity import Actor
from agents.errors import Refusal
from agents.models import ActorKind, MessageKind
from boards import drafts, interview
from boards.actions import sessions
from boards.actions.sessions import InterviewOver
from boards.models import Board, Interviewer, OnboardingSession, OnboardingStatus, Seat, SeatRole

# A main agent asks 6 to 10; fewer are no mistake where people have said enough.
FEWEST_QUESTIONS, MOST_QUESTIONS = 6, 10
_LONG = {"type": "string", "maxLength": 20_000}
OPTIONS_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "maxItems": 20,
}


class QuestionNotFound(Refusal):
    """The interview has no such question."""

    code = "ONBOARDING_QUESTION_NOT_FOUND"
    status_code = 404


class NothingToAnswer(Refusal):
    """No question is open."""

    code = "ONBOARDING_NOTHING_TO_ANSWER"


@transaction.atomic
def ask_question(
    board: Board, question: str, *, by: Actor, options: Sequence[str] = (), about: str = ""
) -> OnboardingSession:
    """Put an agent's next question, with answers to choose from if there are any.

    `about` is the field of the draft that the answer is for. Raises `OnboardingNotFound`,
    `OnboardingConfirmed`, `InterviewBuiltIn`, `InterviewOver`, `ValidationError`.
    """
    of_agents.check(
        {"question": question, "options": list(options)},
        {"question": check_question, "options": check_options},
    )
    session = sessions.of_main_agent(board)
    finished = session.status != OnboardingStatus.ACTIVE
    if finished or len(session.questions) >= MOST_QUESTIONS:
        raise InterviewOver
    asked: dict[str, Any] = {"key": f"q{len(session.questions) + 1}", "question": question}
    more: dict[str, Any] = {"options": list(options), "about": about}
    if by.kind == ActorKind.AGENT:
        more["asked_by"] = str(by.id)
        # Whichever main agent asks is the one that is told the answer, and waited for.
        session.agent_id = by.id
    asked |= {name: value for name, value in more.items() if value}
    sessions.write(session, questions=[*session.questions, asked], agent_id=session.agent_id)
    sessions.tell("onboarding.question_asked", session, by, question=question[:500])
    return session


@transaction.atomic
def answer_question(board: Board, answer: str, *, by: Actor, key: str = "") -> OnboardingSession:
    """Answer the oldest open question, or the one of this key, also if it has an answer.

    The agent that asked it is told; the built-in interview asks its next question, or is over.
    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewOver`, `QuestionNotFound`,
    `NothingToAnswer`, `ValidationError`.
    """
    of_agents.check({"answer": answer}, {"answer": check_question})
    session = sessions.live(board)
    if session.status != OnboardingStatus.ACTIVE:
        raise InterviewOver
    asked = _asked(session, key)
    before = asked.get("answer")
    if before == answer:
        return session
    asked["answer"] = answer
    if asked["key"] in interview.STEP:
        asked["value"] = _understood(asked["key"], answer)
    event = "answered" if before is None else "answer_changed"
    sessions.tell(f"onboarding.question_{event}", session, by, question=asked["question"][:500])
    if session.interviewer == Interviewer.BUILT_IN:
        ask_next(session)
    else:
        sessions.write(session, questions=session.questions)
        _tell_interviewer(session, asked, by)
    return session


def ask_next(session: OnboardingSession, *more: str) -> None:
    """Put the built-in interview's next question; after the last, its answers are the draft."""
    own = {each["key"]: each for each in session.questions if each["key"] in interview.STEP}
    values = {key: each["value"] for key, each in own.items() if "answer" in each}
    seats = Seat.objects.filter(board_id=session.board_id, role=SeatRole.LEAD)
    known = interview.Known(values, has_lead=seats.exists())
    others = [each for each in session.questions if each["key"] not in interview.STEP]
    questions = [*others, *(own[key] for key in interview.applying(known))]
    step = interview.next_step(known)
    if step is not None:
        questions.append(_question(step))
    else:
        session.draft = interview.draft_of(known)
        session.status = OnboardingStatus.COMPLETED
    session.questions = questions
    session.save(update_fields=["questions", "draft", "status", "updated_at", *more])


def carried(answered: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers that a main agent got about fields of the draft, as answers of the built-in ones."""
    carried: dict[str, dict[str, Any]] = {}
    for asked in answered:
        step = interview.STEP.get(asked.get("about", ""))
        if step is None:
            continue
        try:
            value = step.value(asked["answer"])
        except ValidationError:  # It is asked again, in words that say what is wanted.
            continue
        carried[step.key] = {**_question(step), "answer": asked["answer"], "value": value}
    if "target_date" in carried:
        step = interview.STEP["has_target_date"]
        carried[step.key] = {**_question(step), "answer": "yes", "value": "yes"}
    return list(carried.values())


def check_question(value: str) -> None:
    of_agents.check_shape({**_LONG, "pattern": r"\S"}, value)


def check_options(value: Any) -> None:
    of_agents.check_shape(OPTIONS_SHAPE, value)


def _asked(session: OnboardingSession, key: str) -> dict[str, Any]:
    questions: list[dict[str, Any]] = session.questions
    if key:
        named = next((each for each in questions if each["key"] == key), None)
        if named is None:
            raise QuestionNotFound(keys=[each["key"] for each in questions])
        return named
    asked = next((each for each in questions if "answer" not in each), None)
    if asked is None:
        raise NothingToAnswer
    return asked


def _understood(key: str, answer: str) -> Any:
    """What the built-in interview makes of an answer. Raises a ValidationError about `answer`."""
    try:
        return interview.STEP[key].value(answer)
    except ValidationError as error:
        found = [ErrorDetail(str(each.message), code=each.code) for each in error.error_list]
        raise InvalidFields({"answer": found}) from error


def _question(step: interview.Step) -> dict[str, Any]:
    asked: dict[str, Any] = {"key": step.key, "question": step.question}
    if step.key in drafts.FIELDS:
        asked["about"] = step.key
    if step.options:
        asked["options"] = list(step.options.values())
    return asked


def _tell_interviewer(session: OnboardingSession, asked: Mapping[str, Any], by: Actor) -> None:
    if session.agent is not None:
        facts = {name: asked[name] for name in ("question", "key", "about") if name in asked}
        sessions.say(session, session.agent, MessageKind.ANSWER, asked["answer"], by, **facts)
