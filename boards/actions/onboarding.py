"""The interview that sets a board up: its questions, and the draft that it ends in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agents.activity import Actor, Target, record
from agents.errors import Refusal
from boards.actions.boards import locked_board
from boards.models import Board, OnboardingSession, OnboardingStatus

MOST_QUESTIONS = 50


class NoOnboarding(Refusal):
    """Nobody has begun to set this board up."""

    code = "ONBOARDING_NOT_FOUND"
    status_code = 404


class OnboardingRunning(Refusal):
    """This board is being set up already."""

    code = "ONBOARDING_RUNNING"


class OnboardingConfirmed(Refusal):
    """The board was confirmed; its onboarding is over."""

    code = "ONBOARDING_CONFIRMED"


class NoQuestion(Refusal):
    """There is no such open question."""

    code = "QUESTION_NOT_FOUND"
    status_code = 404


class TooManyQuestions(Refusal):
    """The interview is long enough; hand the draft in."""

    code = "TOO_MANY_QUESTIONS"


@transaction.atomic
def begin(board: Board, *, by: Actor) -> OnboardingSession:
    """Start the interview of a board. Raises OnboardingRunning."""
    locked = locked_board(board)
    open_ones = OnboardingSession.objects.filter(board=locked)
    if open_ones.exclude(status=OnboardingStatus.CONFIRMED).exists():
        raise OnboardingRunning
    session = OnboardingSession.objects.create(board=locked)
    _tell("onboarding.started", session, by)
    return session


@transaction.atomic
def ask(board: Board, question: Mapping[str, Any], *, by: Actor) -> OnboardingSession:
    """Put a question to people: `{question, options?}`.

    Raises NoOnboarding, OnboardingConfirmed and TooManyQuestions.
    """
    session = _open_session(board)
    if len(session.questions) >= MOST_QUESTIONS:
        raise TooManyQuestions(limit=MOST_QUESTIONS)
    session.questions = [*session.questions, {**question}]
    session.save(update_fields=["questions", "updated_at"])
    _tell("onboarding.asked", session, by, question=question["question"])
    return session


@transaction.atomic
def reply(board: Board, number: int, text: str, *, by: Actor) -> OnboardingSession:
    """Answer the question of this number, from 1.

    Raises NoOnboarding, OnboardingConfirmed and NoQuestion.
    """
    session = _open_session(board)
    if not 1 <= number <= len(session.questions) or "answer" in session.questions[number - 1]:
        raise NoQuestion(number=number)
    session.questions[number - 1] |= {"answer": text}
    session.save(update_fields=["questions", "updated_at"])
    _tell("onboarding.answered", session, by, number=number)
    return session


@transaction.atomic
def hand_in(board: Board, draft: Mapping[str, Any], *, by: Actor) -> OnboardingSession:
    """Hand the finished draft in; another one takes its place until it is confirmed.

    Raises NoOnboarding and OnboardingConfirmed.
    """
    session = _open_session(board)
    session.draft, session.status = {**draft}, OnboardingStatus.COMPLETED
    session.save(update_fields=["draft", "status", "updated_at"])
    _tell("onboarding.completed", session, by)
    return session


def _open_session(board: Board) -> OnboardingSession:
    locked_board(board)
    newest = OnboardingSession.objects.filter(board=board).first()
    if newest is None:
        raise NoOnboarding
    if newest.status == OnboardingStatus.CONFIRMED:
        raise OnboardingConfirmed
    return newest


def _tell(event: str, session: OnboardingSession, by: Actor, **facts: Any) -> None:
    about = Target(board_id=session.board_id)
    record(session.board.organization_id, event, by=by, target=about, **facts)
