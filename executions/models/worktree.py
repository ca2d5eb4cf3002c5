"""Worktree: where an execution's files are, on which host and in which state."""

from django.db import models

from agents.models.base import Keyed
from executions.models.execution import Execution


class WorktreeStatus(models.TextChoices):
    """The life of a worktree."""

    CREATING = "creating"
    ACTIVE = "active"
    MERGING = "merging"
    MERGED = "merged"
    REMOVING = "removing"
    REMOVED = "removed"
    ERROR = "error"


class Worktree(Keyed):
    """An execution's checkout. The directory is a cache: it is rebuilt from the kept tree.

    `executions.worktrees.moves` has the table of its moves. `merge_sha` is written with the move to
    `merging`, before the branch is moved to it: a merge that broke off has happened exactly when
    the branch has that commit.
    """

    execution = models.OneToOneField(Execution, on_delete=models.CASCADE, related_name="worktree")
    status = models.CharField(
        max_length=10, choices=WorktreeStatus, default=WorktreeStatus.CREATING
    )
    repository = models.CharField(max_length=1000)
    host = models.CharField(max_length=200)
    path = models.CharField(max_length=1000)
    branch = models.CharField(max_length=300)
    base = models.CharField(max_length=64)
    merge_sha = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(status__in=["merging", "merged"]) | ~models.Q(merge_sha=""),
                name="a_merge_names_its_commit",
            ),
        ]

    def __str__(self) -> str:
        return self.branch
