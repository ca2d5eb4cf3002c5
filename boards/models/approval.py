"""Approvals: decisions that are asked of people, and the tasks that they are about."""

from django.db import models

from agents.models import ActorKind
from agents.models.base import Keyed
from boards.models.board import Board
from boards.models.task import Task


class ApprovalKind(models.TextChoices):
    """What is decided: something about tasks, or the merge of a run's work."""

    TASK = "task"
    MERGE = "merge"


class ApprovalStatus(models.TextChoices):
    """How it was decided; only a pending one can be."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Approval(Keyed):
    """A decision asked of a person.

    `confidence` is 0 to 100; `rubric_scores` maps a criterion to a number. The requester and who
    decided are kept by id and name, since the approval outlives them.
    """

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="approvals")
    tasks = models.ManyToManyField(Task, through="ApprovalTask", related_name="approvals")
    kind = models.CharField(max_length=10, choices=ApprovalKind, default=ApprovalKind.TASK)
    status = models.CharField(max_length=10, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    action_type = models.CharField(max_length=80)
    reason = models.TextField()
    payload = models.JSONField(default=dict, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    rubric_scores = models.JSONField(default=dict, blank=True)
    execution_id = models.UUIDField(null=True, blank=True)
    requester_kind = models.CharField(max_length=10, choices=ActorKind)
    requester_id = models.UUIDField(null=True)
    requester_name = models.CharField(max_length=200, blank=True)
    decider_kind = models.CharField(max_length=10, choices=ActorKind, blank=True)
    decider_id = models.UUIDField(null=True)
    decider_name = models.CharField(max_length=200, blank=True)
    decision_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=ApprovalStatus.values), name="approval_status"
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=ApprovalKind.values), name="approval_kind"
            ),
            models.CheckConstraint(
                condition=models.Q(confidence__isnull=True) | models.Q(confidence__range=(0, 100)),
                name="approval_confidence_0_to_100",
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", decided_at=None)
                | (~models.Q(status="pending") & models.Q(decided_at__isnull=False)),
                name="approval_decided_once_it_is_not_pending",
            ),
        ]
        indexes = [
            # Serves a board's approvals, newest first.
            models.Index(fields=["board", "-id"], name="approval_list"),
            # Serves the same of one status.
            models.Index(fields=["board", "status", "-id"], name="approval_list_by_status"),
            # Serves the approval of an execution's merge.
            models.Index(
                fields=["execution_id", "-id"],
                condition=models.Q(kind="merge", execution_id__isnull=False),
                name="approval_of_merge",
            ),
            # Serves the nudges of those who wait for a decision.
            models.Index(
                fields=["requester_id"],
                condition=models.Q(status="pending"),
                name="pending_approval_of_requester",
            ),
            # Serves those of an execution, which are withdrawn with it.
            models.Index(
                fields=["execution_id"],
                condition=models.Q(status="pending", execution_id__isnull=False),
                name="pending_approval_of_execution",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action_type}: {self.status}"


class ApprovalTask(Keyed):
    """That an approval is about a task. `is_open` while the approval is pending and of kind task:
    the index over it keeps a second one from being asked for meanwhile."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="links")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="approval_links")
    is_open = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["approval", "task"], name="one_link_each"),
            models.UniqueConstraint(
                fields=["task"],
                condition=models.Q(is_open=True),
                name="one_pending_approval_a_task",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.approval_id} about {self.task_id}"
