"""Merge: that an execution's work is to come into a branch, and what came of it."""

from django.db import models

from agents.models import ActorKind
from agents.models.base import Keyed
from boards.models import MergeStrategy
from executions.models.execution import Execution
from executions.models.worktree import Worktree


class MergeStatus(models.TextChoices):
    """How far a merge is. One that is refused has changed nothing."""

    REQUESTED = "requested"
    MERGED = "merged"
    REFUSED = "refused"


class Merge(Keyed):
    """One merge that a person asked for by approving the work.

    `claim_id` names the try that may note its commit; `sent_at` and `taken_at` say when its
    message was last sent and when that try was last known to be at work. `problem` is what refused
    it: `{status, code, detail, facts}` of the answer. The approval outlives the rows here, and is
    kept by its id.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="merges")
    worktree = models.ForeignKey(Worktree, on_delete=models.CASCADE, related_name="merges")
    approval_id = models.UUIDField()
    strategy = models.CharField(max_length=6, choices=MergeStrategy)
    target = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=MergeStatus, default=MergeStatus.REQUESTED)
    sha = models.CharField(max_length=64, blank=True)
    problem = models.JSONField(null=True)
    requester_kind = models.CharField(max_length=10, choices=ActorKind)
    requester_id = models.UUIDField(null=True)
    requester_name = models.CharField(max_length=200, blank=True)
    claim_id = models.UUIDField(null=True)
    sent_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    status=MergeStatus.REQUESTED, finished_at=None, problem__isnull=True
                )
                | models.Q(
                    status=MergeStatus.MERGED, finished_at__isnull=False, problem__isnull=True
                )
                & ~models.Q(sha="")
                | models.Q(
                    status=MergeStatus.REFUSED, finished_at__isnull=False, problem__isnull=False
                ),
                name="a_merge_ends_with_its_commit_or_a_problem",
            ),
            # It also serves the sweep: what is under way.
            models.UniqueConstraint(
                fields=["worktree"],
                condition=models.Q(status=MergeStatus.REQUESTED),
                name="one_merge_at_a_time",
            ),
        ]
        # Serves the newest merge of an execution.
        indexes = [models.Index(fields=["execution", "-id"], name="merges_of_execution")]

    def __str__(self) -> str:
        return f"{self.strategy} into {self.target}: {self.status}"
