"""Approvals: asked for, decided, withdrawn."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.utils import timezone

from agents.activity import Actor
from boards.models import Approval, ApprovalStatus


def withdraw_without_tasks(approval_ids: Collection[UUID], *, by: Actor) -> None:
    """Withdraw those of these pending approvals whose last task is gone."""
    pending = Approval.objects.filter(pk__in=approval_ids, status=ApprovalStatus.PENDING)
    pending.filter(tasks=None).update(
        status=ApprovalStatus.WITHDRAWN,
        decided_at=timezone.now(),
        decider_kind=by.kind,
        decider_id=by.id,
        decider_name=by.name[:200],
    )
