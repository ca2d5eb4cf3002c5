"""Main agents that can set a board up, and how an interview stands: whom it waits for, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from agents.models import Agent, Message, MessageState
from agents.presence import RUNS_ITSELF, SEEN_WITHIN, Presence, presence_of
from agents.remote import is_remote
from agents.runtime.tools.registry import EVERY_TOOL
from boards.models import Interviewer, OnboardingSession, OnboardingStatus, Seat

# What the correlation of an interview begins with.
OF_ONBOARDING = "onboarding:"
ASKS_BY = "agent_board_onboarding_update"
# An interviewer that says nothing for as long as an agent may go unseen is told of as quiet.
QUIET_AFTER = SEEN_WITHIN
_GO_ON = "You can go on with the built-in interview; the answers so far stay."


def main_agents(organization_id: UUID) -> QuerySet[Agent]:
    """Agents without a seat that are not paused and have a gateway that is on; oldest first."""
    agents = Agent.objects.select_related("gateway").filter(organization_id=organization_id)
    return agents.filter(seat=None, is_paused=False, gateway__is_enabled=True).order_by("pk")


def correlation_of(session: OnboardingSession) -> str:
    """What the messages of one interview have in common."""
    return f"{OF_ONBOARDING}{session.id}"


def has_open_question(session: OnboardingSession) -> bool:
    return any("answer" not in asked for asked in session.questions)


def asks_in_runs(agent: Agent) -> bool:
    """Whether Signalbox runs the agent, and a run of it can ask."""
    if agent.kind == RUNS_ITSELF or is_remote(agent.kind):
        return False
    return not {EVERY_TOOL, ASKS_BY}.isdisjoint(agent.tools or ())


def standing(session: OnboardingSession) -> dict[str, Any]:
    """Whom the session waits for and since when; `note` says what to do, `is_stuck` that one must.

    `waits_for` is `interviewer`, `person` (to answer), `confirmation`, or null when it is over.
    """
    waits_for = _waits_for(session)
    asks = session.agent if session.interviewer == Interviewer.MAIN_AGENT else None
    trouble = next(_troubles(session, asks), "") if waits_for == "interviewer" else ""
    return {
        "waits_for": waits_for,
        "since": session.updated_at if waits_for else None,
        "interviewer_status": presence_of(asks) if asks else None,
        "is_stuck": bool(trouble),
        "note": f"{trouble} {_GO_ON}" if trouble else _note(session, waits_for, asks),
    }


def _waits_for(session: OnboardingSession) -> str | None:
    if session.status == OnboardingStatus.COMPLETED:
        return "confirmation"
    if session.status != OnboardingStatus.ACTIVE:
        return None
    return "person" if has_open_question(session) else "interviewer"


def _troubles(session: OnboardingSession, asks: Agent | None) -> Iterator[str]:
    """Why the interviewer does not ask its next question, the plainest reason first."""
    if asks is None:
        yield "The main agent that was to ask is gone."
        return
    yield from _unfit(asks)
    sent = Message.objects.filter(recipient=asks, correlation_id=correlation_of(session))
    last = sent.order_by("-id").first()
    if last is not None and last.state == MessageState.FAILED:
        yield f"{asks.name} could not be told: {last.failure}"
    quiet = timezone.now() - session.updated_at
    if quiet >= QUIET_AFTER:
        minutes, status = int(quiet.total_seconds() // 60), presence_of(asks)
        known = "" if status == Presence.ONLINE else f" and is {status}"
        yield f"{asks.name} has said nothing for {minutes} minutes{known}."


def _unfit(agent: Agent) -> Iterator[str]:
    if agent.is_paused:
        yield f"{agent.name} is paused."
    if Seat.objects.filter(agent=agent).exists():
        yield f"{agent.name} has a seat on a board; only an agent without one sets boards up."
    if agent.gateway is None or not agent.gateway.is_enabled:
        yield f"{agent.name} has no gateway that is switched on."
    runs_here = agent.kind != RUNS_ITSELF and not is_remote(agent.kind)
    if runs_here and not asks_in_runs(agent) and agent.last_seen_at is None:
        yield f"{agent.name} may not use the tool {ASKS_BY}, so that a run of it cannot ask."


def _note(session: OnboardingSession, waits_for: str | None, asks: Agent | None) -> str:
    if waits_for == "interviewer":
        return f"{asks.name if asks else 'The main agent'} is to ask the next question."
    if waits_for == "person":
        return "A question is open; answer it."
    if waits_for == "confirmation":
        return "The draft is there; change it where it is wrong, and confirm it."
    return "The board is set up." if session.status == OnboardingStatus.CONFIRMED else "Cancelled."
