"""Execution: one durable run of an agent on an input, and what must always hold of its row."""

from django.db import models
from django.db.models import Q

from agents.models import Agent, Organization
from agents.models.base import Keyed
from boards.models import Board, Task


class Status(models.TextChoices):
    """Where an execution is; `executions.states` has the table of moves."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"


class PauseReason(models.TextChoices):
    """Why an execution is paused."""

    OPERATOR = "operator"
    AGENT = "agent"  # Its agent is paused; it goes on with it.
    TURN_LIMIT = "turn_limit"
    BUDGET = "budget"


class WaitMode(models.TextChoices):
    """Whether one of the conditions of a wait ends it, or only all of them together."""

    ANY = "any"
    ALL = "all"


# A pause that more of something ends; or a person, who takes the work as it is.
AT_A_LIMIT = (PauseReason.TURN_LIMIT, PauseReason.BUDGET)
TERMINAL = (Status.CANCELLED, Status.COMPLETED, Status.FAILED)
LIVE = tuple(status for status in Status if status not in TERMINAL)
CLAIMED = (Status.RUNNING, Status.CANCELLING)
_ADMISSIBLE = (Status.QUEUED, *CLAIMED)


class Execution(Keyed):
    """One durable run.

    Every move but `running → cancelling` adds one to `epoch`. (epoch, claim_id, status) is the
    fence that each write of a run carries. `admitted_epoch` is the epoch at which dispatch got
    the execution its permit; the permit's name is `<id>:<admitted_epoch>`.

    `rank` orders the queue: the time of queueing, moved back by one ageing interval for each step
    of priority, so that order is an index and a low priority cannot starve.

    A fork shares its original's line up to `fork_position`. `depth` counts the executions above it.
    `signals_pending` counts its signals that are not consumed, under the row's lock. `handed_in_at`
    is when its task was told of its completion, whatever came of that.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    agent = models.ForeignKey(Agent, null=True, on_delete=models.SET_NULL, related_name="+")
    board = models.ForeignKey(Board, null=True, on_delete=models.SET_NULL, related_name="+")
    task = models.ForeignKey(Task, null=True, on_delete=models.SET_NULL, related_name="+")
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="children"
    )
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    # RESTRICT: a fork's past is its original's line.
    forked_from = models.ForeignKey("self", null=True, on_delete=models.RESTRICT, related_name="+")
    fork_position = models.PositiveIntegerField(null=True)
    depth = models.PositiveSmallIntegerField(default=0)
    told_parent_at = models.DateTimeField(null=True)

    kind = models.CharField(max_length=80, default="react")
    kind_version = models.CharField(max_length=40, blank=True)
    agent_name = models.CharField(max_length=200, blank=True)
    spec = models.JSONField()
    input = models.JSONField()
    output = models.JSONField(null=True)
    worker_queue = models.CharField(max_length=60, default="executions")
    priority = models.PositiveSmallIntegerField(default=3)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    epoch = models.PositiveIntegerField(default=0)
    claim_id = models.UUIDField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    admitted_epoch = models.PositiveIntegerField(null=True)
    admitted_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    blocked_by = models.CharField(max_length=20, blank=True)
    recoveries = models.PositiveIntegerField(default=0)

    cancel_requested_at = models.DateTimeField(null=True)
    cancel_is_hard = models.BooleanField(default=False)
    cancel_reason = models.TextField(blank=True)
    pause_requested_at = models.DateTimeField(null=True)
    pause_reason = models.CharField(max_length=20, choices=PauseReason, blank=True)
    wait_number = models.PositiveIntegerField(default=0)
    wait_mode = models.CharField(max_length=3, choices=WaitMode, default=WaitMode.ANY)
    signals_pending = models.PositiveIntegerField(default=0)
    interrupt_requested_at = models.DateTimeField(null=True)

    event_seq = models.PositiveIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)
    turn = models.PositiveIntegerField(default=0)
    max_turns = models.PositiveIntegerField()
    token_budget = models.PositiveBigIntegerField(null=True)
    seconds_budget = models.PositiveBigIntegerField(null=True)
    checkpoint = models.PositiveIntegerField(default=0)
    tree = models.CharField(max_length=64, blank=True)
    usage = models.JSONField(default=dict)
    diff = models.JSONField(null=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.TextField(blank=True)
    failure_details = models.JSONField(default=dict)

    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField()
    rank = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    handed_in_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="execution_status"),
            models.CheckConstraint(
                condition=Q(
                    status__in=CLAIMED,
                    claim_id__isnull=False,
                    lease_expires_at__isnull=False,
                    admitted_epoch__isnull=False,
                )
                | ~Q(status__in=CLAIMED) & Q(claim_id=None, lease_expires_at=None),
                name="a_claim_exactly_while_running",
            ),
            models.CheckConstraint(
                condition=Q(admitted_epoch=None) | Q(status__in=_ADMISSIBLE),
                name="a_permit_only_while_it_may_run",
            ),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL, finished_at__isnull=False)
                | ~Q(status__in=TERMINAL) & Q(finished_at=None),
                name="an_end_exactly_when_terminal",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.FAILED) & ~Q(failure_code="")
                | ~Q(status=Status.FAILED) & Q(failure_code=""),
                name="a_failure_code_exactly_when_failed",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.PAUSED) & ~Q(pause_reason="")
                | ~Q(status=Status.PAUSED) & Q(pause_reason=""),
                name="a_pause_reason_exactly_when_paused",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.CANCELLING) | Q(cancel_requested_at__isnull=False),
                name="cancelling_was_requested",
            ),
            models.CheckConstraint(
                condition=Q(forked_from=None, fork_position=None)
                | Q(forked_from__isnull=False, fork_position__isnull=False),
                name="a_fork_has_its_position",
            ),
            models.CheckConstraint(
                condition=Q(priority__range=(1, 5)), name="execution_priority_1_to_5"
            ),
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(status__in=LIVE),
                name="one_live_execution_on_a_task",
            ),
        ]
        indexes = [
            # Serves dispatch: the queue of an organization in order.
            models.Index(
                fields=["organization", "rank", "id"],
                condition=Q(status=Status.QUEUED, admitted_epoch=None),
                name="execution_queue",
            ),
            # Serves the sweep: leases in the order in which they run out.
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status__in=CLAIMED),
                name="execution_lease",
            ),
            # Serves the sweep: admitted rows that no worker claimed.
            models.Index(
                fields=["sent_at"],
                condition=Q(status=Status.QUEUED, admitted_epoch__isnull=False),
                name="execution_unclaimed",
            ),
            # Serves the sweep: deadlines that a worker does not watch.
            models.Index(
                fields=["deadline_at"],
                condition=Q(status__in=[Status.QUEUED, Status.WAITING]),
                name="execution_deadline",
            ),
            # Serves the sweep: what goes on when its agent does.
            models.Index(
                fields=["agent"],
                condition=Q(status=Status.PAUSED, pause_reason=PauseReason.AGENT),
                name="execution_paused_with_agent",
            ),
            # Serves the rebuild of the permits and the capacity of a board.
            models.Index(
                fields=["organization"],
                condition=Q(admitted_epoch__isnull=False),
                name="execution_admitted",
            ),
            # Serves the children of an execution, newest first.
            models.Index(
                fields=["parent", "-id"],
                condition=Q(parent__isnull=False),
                name="execution_children",
            ),
            # Serves the sweep: children that are live, of parents that may not be.
            models.Index(
                fields=["parent"],
                condition=Q(parent__isnull=False, status__in=LIVE),
                name="execution_live_children",
            ),
            # Serves the sweep: children that have ended and whose parent was not told.
            models.Index(
                fields=["finished_at"],
                condition=Q(parent__isnull=False, told_parent_at=None, finished_at__isnull=False),
                name="execution_untold_children",
            ),
            # Serves the sweep: work on a task that has completed and was not handed in.
            models.Index(
                fields=["finished_at"],
                condition=Q(status=Status.COMPLETED, task__isnull=False, handed_in_at=None),
                name="execution_not_handed_in",
            ),
            # Serves the newest execution of a task.
            models.Index(
                fields=["task", "-id"], condition=Q(task__isnull=False), name="execution_by_task"
            ),
            # Serves the list of what failed, by how.
            models.Index(
                fields=["organization", "failure_code", "-id"],
                condition=Q(status=Status.FAILED),
                name="execution_failures",
            ),
            # Each serves one list, newest first.
            models.Index(fields=["organization", "-id"], name="execution_list"),
            models.Index(fields=["organization", "status", "-id"], name="execution_by_status"),
            models.Index(fields=["agent", "-id"], name="execution_by_agent"),
            models.Index(fields=["board", "-id"], name="execution_by_board"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def permit(self) -> str:
        """The name of its permit, or empty while it has none."""
        return "" if self.admitted_epoch is None else f"{self.id}:{self.admitted_epoch}"
