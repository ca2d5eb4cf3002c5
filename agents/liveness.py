"""Signs of life: what counts as one, and agents that give none, of each of which is told once.

A sign is a call with the agent's token, a heartbeat being one; of an agent that Signalbox runs
also an execution that is live, has started or has completed. Being told something is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest
from django.db.models.lookups import GreaterThan

from agents.activity import SYSTEM, Target, record_all, unsaved
from agents.clock import ClockTimestamp
from agents.messages import Letter, notify_all
from agents.models import Activity, Agent, LiveWork, MessageKind, Organization
from agents.models.activity import OF_WORK
from agents.presence import RUNS_ITSELF, SEEN_WITHIN

# Nudges without a sign of life after which people are alerted.
NUDGES_IN_VAIN = 3
# Agents that one sweep tells of.
BATCH = 100
_NEVER = datetime.min.replace(tzinfo=UTC)


def has_lived(since: Combinable) -> Q:
    """Agents that have live work, or gave a sign of life after that time; none after a null."""
    at_work = Exists(LiveWork.objects.filter(agent=OuterRef("pk")))
    return Q(at_work) | Q(GreaterThan(_last_sign(), Coalesce(since, ClockTimestamp())))


def _last_sign() -> Combinable:
    lines = Activity.objects.filter(agent_id=OuterRef("pk"), type__in=OF_WORK)
    newest = Subquery(lines.order_by("-id").values("created_at")[:1])
    # Of one that runs itself there are no such lines, and all others would be read to see it.
    worked = Case(When(~Q(kind=RUNS_ITSELF), then=newest), output_field=DateTimeField())
    # PostgreSQL passes over nulls here.
    return Coalesce(Greatest(F("last_seen_at"), worked), Value(_NEVER))


def note_nudged(agent_ids: Collection[UUID], at: datetime) -> None:
    """Note a nudge of each, and whether the one before it was answered by a sign of life.

    In the transaction that nudges; it locks the agents.
    """
    answered = Q(last_nudged_at=None) | has_lived(F("last_nudged_at"))
    Agent.objects.filter(pk__in=agent_ids).update(
        last_nudged_at=Greatest(F("last_nudged_at"), Value(at)),
        unanswered_nudges=Case(When(answered, then=1), default=F("unanswered_nudges") + 1),
        found_silent_at=Case(
            When(answered, then=Value(None, output_field=DateTimeField())),
            default=F("found_silent_at"),
        ),
    )


@transaction.atomic
def note_offline() -> int:
    """Tell of agents that run themselves and have gone offline; of how many.

    A chore of the sweep. Of each once, until it is seen again.
    """
    untold = Q(offline_since=None) | Q(offline_since__lt=F("last_seen_at"))
    gone = Agent.objects.filter(untold, kind=RUNS_ITSELF, is_paused=False)
    found = _locked(gone.filter(last_seen_at__lt=ClockTimestamp() - SEEN_WITHIN), "last_seen_at")
    Agent.objects.filter(pk__in=[each.pk for each in found]).update(offline_since=F("last_seen_at"))
    record_all(
        [_line("agent.offline", each, last_seen_at=_text(each.last_seen_at)) for each in found]
    )
    return len(found)


@transaction.atomic
def note_silent() -> int:
    """Tell of agents that were nudged three times without a sign of life, and alert people.

    A chore of the sweep. Of each once, until it gives a sign of life; of how many. Of those that
    run themselves, once they have had ten minutes to answer the last: what Signalbox runs cannot
    give a sign while it has nothing to do.
    """
    nudged = Agent.objects.filter(
        kind=RUNS_ITSELF,
        unanswered_nudges__gte=NUDGES_IN_VAIN,
        found_silent_at=None,
        last_nudged_at__lt=ClockTimestamp() - SEEN_WITHIN,
    )
    found = _locked(nudged.exclude(has_lived(F("last_nudged_at"))), "last_nudged_at")
    Agent.objects.filter(pk__in=[each.pk for each in found]).update(
        found_silent_at=ClockTimestamp()
    )
    record_all([_line("agent.silent", each, **_nudges(each)) for each in found])
    by_organization: dict[Organization, list[Agent]] = defaultdict(list)
    for each in found:
        by_organization[each.organization].append(each)
    for organization, agents in by_organization.items():
        notify_all(organization, [_alert(each) for each in agents], by=SYSTEM)
    return len(found)


def _locked(rows: QuerySet[Agent], order: str) -> Sequence[Agent]:
    locked = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
    # The seat is a row of the floor above; only the database's name of it is used here.
    seated = locked.annotate(board_id=F("seat__board_id")).select_related("organization")
    return list(seated.defer("soul").order_by(order)[:BATCH])


def _line(event: str, agent: Agent, **facts: Any) -> Activity:
    return unsaved(agent.organization_id, event, by=SYSTEM, target=_about(agent), **facts)


def _about(agent: Agent) -> Target:
    board_id: UUID | None = getattr(agent, "board_id")  # noqa: B009  The annotation of `_locked`.
    return Target(agent_id=agent.pk, board_id=board_id)


def _nudges(agent: Agent) -> dict[str, Any]:
    return {"nudges": agent.unanswered_nudges, "last_seen_at": _text(agent.last_seen_at)}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _alert(agent: Agent) -> Letter:
    last = agent.last_seen_at
    seen = f" It was last seen at {last:%Y-%m-%d %H:%M} UTC." if last else ""
    words = (
        f"The agent {agent.name} was nudged {agent.unanswered_nudges} times without a sign of "
        f"life.{seen} See whether it runs and can be reached."
    )
    facts = {"agent_id": str(agent.pk), **_nudges(agent)}
    return Letter(MessageKind.ALERT, words, about=_about(agent), facts=facts)
