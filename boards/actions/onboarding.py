"""Sets a board up by an interview: begun, taken over, cancelled, and gone on with in runs."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.activity import Actor
from agents.errors import Refusal
from agents.models import Agent, MessageKind
from boards import drafts
from boards.actions import sessions
from boards.actions.interviewing import (
    FEWEST_QUESTIONS,
    MOST_QUESTIONS,
    ask_next,
    carried,
)
from boards.actions.sessions import InterviewOver
from boards.interviewers import ASKS_BY, has_open_question, main_agents
from boards.models import Board, Interviewer, OnboardingSession, OnboardingStatus


class OnboardingOpen(Refusal):
    """The board is being set up already; confirm what is there, or cancel it first."""

    code = "ONBOARDING_ALREADY_OPEN"


class MainAgentMissing(Refusal):
    """No main agent can be asked: one without a seat, not paused, with a gateway that is on. Start
    the built-in interview instead."""

    code = "MAIN_AGENT_MISSING"


@transaction.atomic
def start_onboarding(
    board: Board, *, by: Actor, interviewer: str = "", agent: Agent | None = None
) -> OnboardingSession:
    """Begin the interview of a board, by a main agent or with the built-in questions.

    Without an `interviewer` a main agent asks if there is one; without an `agent`, the oldest.
    Raises `OnboardingOpen`, `MainAgentMissing`, `ValidationError`.
    """
    asks = _chosen(board, interviewer, agent)
    how = Interviewer.BUILT_IN if asks is None else Interviewer.MAIN_AGENT
    session = _insert(OnboardingSession(board=board, interviewer=how, agent=asks))
    facts = {"interviewer": how, "agent_id": asks and str(asks.id)}
    sessions.tell("onboarding.started", session, by, **facts)
    if asks is None:
        ask_next(session)
    else:
        sessions.say(session, asks, MessageKind.ONBOARDING, briefing(session), by)
    return session


@transaction.atomic
def take_over(
    board: Board, *, by: Actor, only: OnboardingSession | None = None
) -> OnboardingSession:
    """Go on with the built-in interview in place of a main agent; repeated, it changes nothing.

    What was asked and answered stays. An answer about a field of the draft that the built-in
    interview understands answers its question too, and can be changed. Raises
    `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewOver`.
    """
    session = sessions.live(board, only)
    if session.interviewer == Interviewer.BUILT_IN:
        return session
    if session.status != OnboardingStatus.ACTIVE:
        raise InterviewOver
    answered = [asked for asked in session.questions if "answer" in asked]
    session.questions = [*answered, *carried(answered)]
    session.interviewer = Interviewer.BUILT_IN
    ask_next(session, "interviewer")
    sessions.tell("onboarding.taken_over", session, by)
    sessions.say_over(session, "People go on with the built-in interview.", by)
    return session


@transaction.atomic
def cancel_onboarding(
    board: Board, *, by: Actor, only: OnboardingSession | None = None
) -> OnboardingSession:
    """Give the setting-up up; the board stays as it is, and another can be started.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`.
    """
    session = sessions.live(board, only)
    sessions.write(session, status=OnboardingStatus.CANCELLED)
    sessions.tell("onboarding.cancelled", session, by)
    sessions.say_over(session, "The setting-up was cancelled.", by)
    return session


@transaction.atomic
def take_turn(session: OnboardingSession) -> OnboardingSession | None:
    """Note that a run of the interviewer begins, once for all that it was told since the last.

    None where there is nothing for it to do: it is over, a question is open, or it has begun.
    """
    rows = OnboardingSession.objects.select_for_update(no_key=True, of=("self",))
    rows = rows.select_related("board", "agent").filter(
        pk=session.pk, status=OnboardingStatus.ACTIVE, interviewer=Interviewer.MAIN_AGENT
    )
    locked = rows.first()
    if locked is None or locked.heard >= locked.said or has_open_question(locked):
        return None
    # Not by a save: that it begins is not said by the interviewer, whose silence is counted.
    OnboardingSession.objects.filter(pk=locked.pk).update(heard=locked.said)
    return locked


def briefing(session: OnboardingSession) -> str:
    """What a main agent has to know to ask its next question, or to hand the draft in."""
    board = session.board
    said = [
        f"- {asked['question']}\n  {asked['answer']}"
        for asked in session.questions
        if "answer" in asked
    ]
    parts = [
        f"Set up the board {board.name!r} (board_id {board.id}) with its people.",
        board.description[:2000],
        f"Ask {FEWEST_QUESTIONS} to {MOST_QUESTIONS} questions, one at a time, with {ASKS_BY} "
        "(`question`, `options` if there are any, `about` for the field of the draft that it is "
        "for). Then stop: you are told the answer. When you know enough, hand in "
        f"`draft` by the same operation: {', '.join(drafts.FIELDS)}. It needs `objective` and "
        "`success_metrics`. People then change and confirm it.",
        "\n".join(["Asked and answered so far:", *said]) if said else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _chosen(board: Board, interviewer: str, agent: Agent | None) -> Agent | None:
    """The main agent that asks; None for the built-in interview."""
    if interviewer == Interviewer.BUILT_IN:
        if agent is not None:
            text = "The built-in interview has no agent."
            raise InvalidFields({"agent": [ErrorDetail(text, code="invalid")]})
        return None
    able = main_agents(board.organization_id)
    found = (able.filter(pk=agent.pk) if agent else able).first()
    if found is None and (agent is not None or interviewer):
        raise MainAgentMissing
    return found


def _insert(session: OnboardingSession) -> OnboardingSession:
    """The new session. The index decides whether it is the only one that is live."""
    try:
        with transaction.atomic():
            session.save(force_insert=True)
    except IntegrityError as error:
        raise OnboardingOpen from error
    return session
