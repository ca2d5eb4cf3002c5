"""Job: a unit of background work that an execution schedules and can wait for."""

from django.db import models
from django.db.models import Q

from agents.models.base import Keyed
from executions.models.execution import Execution


class JobStatus(models.TextChoices):
    """Where a job is. A failed try with tries left is `queued` again, due later."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


JOB_TERMINAL = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


class Job(Keyed):
    """One job of an execution.

    (epoch, claim_id, status) is its fence, as an execution's: every move adds one to `epoch`.
    `timeout_seconds` bounds one try; `attempt` counts tries from 1; `max_retries` is how many may
    follow the first. A job with a `due_at` in the future is not sent before.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="jobs")
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=80)
    input = models.JSONField(null=True)
    digest = models.CharField(max_length=64)
    max_retries = models.PositiveSmallIntegerField(default=3)
    timeout_seconds = models.PositiveIntegerField(default=300)
    worker_queue = models.CharField(max_length=60, default="jobs")

    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    epoch = models.PositiveIntegerField(default=0)
    claim_id = models.UUIDField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    recoveries = models.PositiveSmallIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    output = models.JSONField(null=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "key"], name="one_job_a_key"),
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="job_status"),
            models.CheckConstraint(
                condition=Q(status=JobStatus.RUNNING, claim_id__isnull=False)
                & Q(lease_expires_at__isnull=False)
                | ~Q(status=JobStatus.RUNNING) & Q(claim_id=None, lease_expires_at=None),
                name="a_job_has_a_claim_exactly_while_running",
            ),
            models.CheckConstraint(
                condition=Q(status__in=JOB_TERMINAL, finished_at__isnull=False)
                | ~Q(status__in=JOB_TERMINAL) & Q(finished_at=None),
                name="a_job_has_an_end_exactly_when_terminal",
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.FAILED) & ~Q(failure_code="")
                | ~Q(status=JobStatus.FAILED),
                name="a_failed_job_has_a_failure_code",
            ),
        ]
        indexes = [
            # Serves the sweep: jobs that are due and that nobody has claimed.
            models.Index(fields=["due_at"], condition=Q(status=JobStatus.QUEUED), name="job_due"),
            # Serves the sweep: leases in the order in which they run out.
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status=JobStatus.RUNNING),
                name="job_lease",
            ),
            # Serves the list of an execution's jobs, and the cancel of its live ones.
            models.Index(fields=["execution", "status", "-id"], name="job_of_execution"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.status})"
