"""The draft of an onboarding: handed in by an agent, changed by people before they confirm it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.activity import Actor
from agents.errors import Refusal
from boards import drafts
from boards.actions import sessions
from boards.actions.sessions import Check
from boards.models import Board, OnboardingSession, OnboardingStatus


class DraftEdited(Refusal):
    """People have changed the draft; another one would undo that."""

    code = "ONBOARDING_DRAFT_EDITED"


class NotFinished(Refusal):
    """The interview is not over; there is no draft yet."""

    code = "ONBOARDING_NOT_FINISHED"


@transaction.atomic
def finish_draft(board: Board, draft: Mapping[str, Any], *, by: Actor) -> OnboardingSession:
    """Hand in an agent's draft, or another one until people change or confirm it.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewBuiltIn`, `DraftEdited`,
    `ValidationError`.
    """
    drafts.check(draft)
    session = sessions.of_main_agent(board)
    if session.draft_edited_at is not None:
        raise DraftEdited
    sessions.write(session, draft=draft, status=OnboardingStatus.COMPLETED)
    sessions.tell("onboarding.draft_finished", session, by)
    return session


@transaction.atomic
def edit_draft(
    board: Board, changes: Any, *, by: Actor, check: Check = lambda _: None
) -> OnboardingSession:
    """Change fields of the draft before it is confirmed. `check` is asked under the lock.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `NotFinished`, `ValidationError`.
    """
    drafts.check_changes(changes)
    session = sessions.live(board)
    check(session)
    if session.status != OnboardingStatus.COMPLETED:
        raise NotFinished
    before: dict[str, Any] = dict(session.draft or {})
    changed = sorted(name for name in changes if before.get(name) != changes[name])
    if changed:
        sessions.write(session, draft={**before, **changes}, draft_edited_at=timezone.now())
        sessions.tell("onboarding.draft_edited", session, by, changed=changed)
    return session
