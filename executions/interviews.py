"""Main agents that Signalbox runs and that set boards up: what is live hears, or a run begins.

After the commit of what told them. What a process did not live to do here is found by the sweep:
`begin_left`. Each run is told all that was asked and answered, so that none has to remember.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from rest_framework.exceptions import APIException

from agents.activity import SYSTEM, Actor
from agents.live import hold
from agents.models import ActorKind, Agent, LiveWork, Message, MessageKind
from boards.actions.onboarding import briefing, take_turn
from boards.interviewers import OF_ONBOARDING, asks_in_runs, has_open_question
from boards.models import Interviewer, OnboardingSession, OnboardingStatus
from executions import actions, signals
from executions.configuration import Wish
from executions.models import Execution

logger = logging.getLogger(__name__)

# Interviews that one sweep looks at.
BATCH = 25


def hear(message: Message) -> None:
    """What follows an invitation to set a board up, or an answer to a question about it."""
    agent = message.recipient
    if agent is None or not message.correlation_id.startswith(OF_ONBOARDING):
        return
    if not asks_in_runs(agent) or message.data.get("is_over"):
        return
    live = _live_of(agent).first()
    if live is not None and message.kind == MessageKind.ANSWER and _say(live, message):
        return
    session_id = UUID(message.correlation_id.removeprefix(OF_ONBOARDING))
    for session in _sessions().filter(pk=session_id):
        _begin(session)


def begin_left() -> int:
    """Begin runs of interviewers that have something to do and nothing live; how many.

    A chore of the sweep: for what was said while one was busy or paused, for hints that were lost,
    and for what a run that was live did not live to answer.
    """
    busy = LiveWork.objects.filter(agent=OuterRef("agent"))
    left = _sessions().filter(said__gt=F("heard"), agent__is_paused=False).exclude(Exists(busy))
    return sum(map(_begin, left.order_by("?")[:BATCH]))


def _sessions() -> QuerySet[OnboardingSession]:
    rows = OnboardingSession.objects.select_related("agent", "board")
    return rows.filter(
        status=OnboardingStatus.ACTIVE, interviewer=Interviewer.MAIN_AGENT, agent__isnull=False
    )


def _live_of(agent: Agent) -> QuerySet[Execution]:
    live = LiveWork.objects.filter(agent=agent).values("execution_id")
    return Execution.objects.filter(pk__in=live).only("id").order_by("pk")


def _say(execution: Execution, message: Message) -> bool:
    """Whether it heard the message; one that has just ended does not."""
    by = Actor(ActorKind(message.sender_kind), message.sender_id, message.sender_name)
    asked, who = message.data.get("question", ""), message.sender_name or "Somebody"
    text = f"{who} answers your question {asked!r}: {message.content}"
    try:
        signals.send_message(execution, text, by=by, dedup_key=str(message.id))
    except APIException as refusal:
        logger.info("%s did not hear of %s: %s", execution.id, message.id, refusal.detail)
        return False
    return True


def _begin(session: OnboardingSession) -> bool:
    """Begin a run of the interviewer, if it is its turn; a refusal is asked again by the sweep."""
    try:
        with transaction.atomic():
            return _begin_locked(session)
    except APIException as refusal:
        logger.info("The interview %s does not go on: %s", session.id, refusal.detail)
    except Agent.DoesNotExist:
        logger.info("The interviewer of %s is gone.", session.id)
    except Exception:
        logger.exception("The interview %s could not go on.", session.id)
    return False


def _begin_locked(session: OnboardingSession) -> bool:
    agent = session.agent
    if agent is None or not asks_in_runs(agent) or has_open_question(session):
        return False
    # Before the session, as whoever deletes an agent locks.
    if hold(agent).is_paused or LiveWork.objects.filter(agent=agent).exists():
        return False
    # Of two who come this far the second finds the turn taken.
    turn = take_turn(session)
    if turn is None or turn.agent != agent:
        return False
    actions.start(agent, Wish(prompt=briefing(turn)), by=SYSTEM)
    return True
