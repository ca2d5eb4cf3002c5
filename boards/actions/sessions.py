"""The session of an onboarding: found and locked, written, and told of.

Every write of an onboarding holds the session's row. Board and agents are locked before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents import messages
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.models import Agent, MessageKind
from boards.interviewers import correlation_of
from boards.models import Board, Interviewer, OnboardingSession, OnboardingStatus

Check = Callable[[OnboardingSession], None]


class OnboardingNotFound(Refusal):
    """The board has no onboarding session; a person starts one."""

    code = "ONBOARDING_NOT_FOUND"
    status_code = 404


class OnboardingConfirmed(Refusal):
    """The draft was confirmed; nothing is added to it."""

    code = "ONBOARDING_CONFIRMED"


class InterviewOver(Refusal):
    """The draft is finished or the questions are too many; only another draft is taken."""

    code = "ONBOARDING_INTERVIEW_OVER"


class InterviewBuiltIn(Refusal):
    """People answer the built-in interview instead; nothing of an agent is taken beside it."""

    code = "ONBOARDING_BUILT_IN"


def newest(board: Board, only: OnboardingSession | None = None) -> OnboardingSession:
    """The newest session, locked, or the one that is meant. Raises `OnboardingNotFound`."""
    rows = board.onboarding_sessions.select_for_update(no_key=True)
    session = (rows.filter(pk=only.pk) if only else rows).first()
    if session is None or session.status == OnboardingStatus.CANCELLED:
        raise OnboardingNotFound
    return session


def live(board: Board, only: OnboardingSession | None = None) -> OnboardingSession:
    """The same, where it is not confirmed. A board set up anew has confirmed ones before it."""
    session = newest(board, only)
    if session.status == OnboardingStatus.CONFIRMED:
        raise OnboardingConfirmed
    return session


def of_main_agent(board: Board) -> OnboardingSession:
    """The same, where an agent asks."""
    session = live(board)
    if session.interviewer == Interviewer.BUILT_IN:
        raise InterviewBuiltIn
    return session


def write(session: OnboardingSession, **changed: Any) -> None:
    """Write these fields of a session that is held."""
    for name, value in changed.items():
        setattr(session, name, value)
    session.save(update_fields=[*changed, "updated_at"])


def say(
    session: OnboardingSession,
    agent: Agent,
    kind: MessageKind,
    content: str,
    by: Actor,
    **facts: Any,
) -> None:
    """Tell the agent something of the interview, and count that it was told."""
    letter = messages.Letter(
        kind=kind,
        content=content,
        recipient=agent,
        about=Target(board_id=session.board_id),
        correlation_id=correlation_of(session),
        facts=facts,
    )
    messages.notify(session.board.organization, letter, by=by)
    # What follows the commit of the message finds it counted.
    session.said += 1
    session.save(update_fields=["said"])


def say_over(session: OnboardingSession, words: str, by: Actor) -> None:
    """Tell the main agent that nothing more is asked of it."""
    if session.agent is not None:
        say(session, session.agent, MessageKind.ONBOARDING, words, by, is_over=True)


def tell(event: str, session: OnboardingSession, by: Actor, **facts: Any) -> None:
    """Write it into the permanent record."""
    about = Target(board_id=session.board_id)
    record(session.board.organization_id, event, by=by, target=about, **facts)
