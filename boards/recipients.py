"""Whom a schedule nudges: agents that it means, of which its condition holds.

Never a paused agent, nor one on a paused board.

- *Idle with work in the inbox*: it has no live execution nor, running itself, a task in progress;
  and a task of its own is ready, or, running itself, it has not acknowledged something in its
  inbox that is no nudge. Others do not read their inbox.
- *In progress without a sign of life*: a task of its own has been in progress for so many minutes,
  and it gave none (`agents.liveness`) for as long.
- *Approval pending*: one that it has asked for, or, if it is a lead, any on its board, for so many
  minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable

from agents.clock import ClockTimestamp
from agents.liveness import has_lived
from agents.models import ActorKind, Agent, LiveWork, Message, MessageKind, MessageState
from agents.presence import RUNS_ITSELF
from boards.models import (
    Approval,
    ApprovalStatus,
    NudgeCondition,
    NudgeSchedule,
    SeatRole,
    Task,
    TaskStatus,
)
from boards.queries import all_ready


def recipients(schedule: NudgeSchedule, moment: datetime) -> QuerySet[Agent]:
    """The agents to nudge now by a run that counts from that moment, in no order."""
    rows = _meant(schedule).filter(_has_cooled_down(schedule, moment), is_paused=False)
    rows = rows.exclude(seat__board__is_paused=True)
    return rows.filter(_CONDITIONS[NudgeCondition(schedule.condition)](schedule))


def _meant(schedule: NudgeSchedule) -> QuerySet[Agent]:
    rows = Agent.objects.filter(organization=schedule.organization_id)
    if schedule.board_id is not None:
        return rows.filter(seat__board=schedule.board_id)
    named = NudgeSchedule.agents.through.objects.filter(nudgeschedule=schedule.pk)
    return rows.filter(pk__in=named.values("agent"))


def _has_cooled_down(schedule: NudgeSchedule, moment: datetime) -> Q:
    if not schedule.cool_down_minutes:
        return Q()
    before = moment - timedelta(minutes=schedule.cool_down_minutes)
    return Q(last_nudged_at=None) | Q(last_nudged_at__lte=before)


def _is_idle(schedule: NudgeSchedule) -> Q:
    own = Task.objects.filter(assigned_agent=OuterRef("pk"), status=TaskStatus.IN_PROGRESS)
    live = LiveWork.objects.filter(agent=OuterRef("pk"))
    at_work = Q(Exists(live)) | (Q(kind=RUNS_ITSELF) & Q(Exists(own)))
    told = Message.objects.filter(recipient=OuterRef("pk"), state=MessageState.DELIVERED)
    unread = Q(kind=RUNS_ITSELF) & Q(Exists(told.exclude(kind=MessageKind.NUDGE)))
    ready = all_ready().filter(assigned_agent=OuterRef("pk"))
    return ~at_work & (unread | Q(Exists(ready)))


def _is_silent(schedule: NudgeSchedule) -> Q:
    since = _minutes_ago(schedule)
    own = Task.objects.filter(assigned_agent=OuterRef("pk"), status=TaskStatus.IN_PROGRESS)
    return Q(Exists(own.filter(started_at__lte=since))) & ~has_lived(since)


def _waits_for_approval(schedule: NudgeSchedule) -> Q:
    pending = Approval.objects.filter(
        status=ApprovalStatus.PENDING, created_at__lte=_minutes_ago(schedule)
    )
    own = pending.filter(requester_kind=ActorKind.AGENT, requester_id=OuterRef("pk"))
    on_its_board = pending.filter(board=OuterRef("seat__board"))
    return Q(Exists(own)) | (Q(seat__role=SeatRole.LEAD) & Q(Exists(on_its_board)))


def _minutes_ago(schedule: NudgeSchedule) -> Combinable:
    return ClockTimestamp() - timedelta(minutes=schedule.minutes or 0)


_CONDITIONS: Mapping[NudgeCondition, Callable[[NudgeSchedule], Q]] = {
    NudgeCondition.IDLE_WITH_INBOX: _is_idle,
    NudgeCondition.SILENT_IN_PROGRESS: _is_silent,
    NudgeCondition.APPROVAL_PENDING: _waits_for_approval,
    NudgeCondition.ALWAYS: lambda _: Q(),
}
