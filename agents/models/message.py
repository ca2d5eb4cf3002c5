"""The outbox: everything that is said to an agent or to people."""

from django.db import models

from agents.models.activity import ActorKind
from agents.models.agent import Agent
from agents.models.base import Keyed
from agents.models.gateway import Gateway
from agents.models.organization import Organization


class MessageKind(models.TextChoices):
    """Why it is said."""

    NUDGE = "nudge"
    ASSIGNMENT = "assignment"
    MENTION = "mention"
    COMMENT = "comment"
    CHAT = "chat"
    SOUL = "soul"
    LEAD_QUESTION = "lead_question"
    LEAD_HANDOFF = "lead_handoff"
    BROADCAST = "broadcast"
    QUESTION = "question"
    ANSWER = "answer"
    DECISION = "decision"
    ONBOARDING = "onboarding"
    ALERT = "alert"
    WEBHOOK = "webhook"


class MessageState(models.TextChoices):
    """How far it came: `delivered` means that the recipient can fetch it or was sent it."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"


class Audience(models.TextChoices):
    """Who is meant."""

    AGENT = "agent"
    PEOPLE = "people"


class Message(Keyed):
    """One thing said to one agent, or to the people of the organization.

    The ids of things on higher floors are plain values: a message outlives them, and its
    recipient too. `failure` says why the last attempt failed, `answer` what people replied. A
    pending one is tried at `due_at`; whoever tries counts `attempts`, which is its claim, and puts
    `due_at` off for as long as the claim lasts.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=MessageKind)
    audience = models.CharField(max_length=10, choices=Audience, default=Audience.AGENT)
    sender_kind = models.CharField(max_length=10, choices=ActorKind)
    sender_id = models.UUIDField(null=True)
    sender_name = models.CharField(max_length=200, blank=True)
    recipient = models.ForeignKey(
        Agent, null=True, on_delete=models.SET_NULL, related_name="messages"
    )
    recipient_name = models.CharField(max_length=200, blank=True)
    gateway = models.ForeignKey(Gateway, null=True, on_delete=models.SET_NULL, related_name="+")
    board_id = models.UUIDField(null=True)
    task_id = models.UUIDField(null=True)
    execution_id = models.UUIDField(null=True)
    correlation_id = models.CharField(max_length=200, blank=True)
    content = models.TextField()
    data = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=MessageState, default=MessageState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    failure = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=MessageState.values), name="message_state"
            ),
            models.CheckConstraint(
                condition=models.Q(audience=Audience.AGENT) | models.Q(recipient=None),
                name="people_are_no_one_agent",
            ),
            models.CheckConstraint(
                condition=models.Q(state=MessageState.PENDING, due_at__isnull=False)
                | (~models.Q(state=MessageState.PENDING) & models.Q(due_at=None)),
                name="a_message_is_due_exactly_while_pending",
            ),
        ]
        indexes = [
            # Serves the operators' list, newest first.
            models.Index(fields=["organization", "-id"], name="message_list"),
            # Serve the same of one state, and of one kind.
            models.Index(fields=["organization", "state", "-id"], name="message_by_state"),
            models.Index(fields=["organization", "kind", "-id"], name="message_by_kind"),
            # Serves an agent's inbox, oldest first.
            models.Index(
                fields=["recipient", "id"],
                condition=models.Q(state="delivered"),
                name="message_inbox",
            ),
            # Serves what is to be delivered next.
            models.Index(
                fields=["due_at"], condition=models.Q(state="pending"), name="message_due"
            ),
            # Serves an execution that ends its turn: what it has asked and was not answered.
            models.Index(
                fields=["execution_id"],
                condition=models.Q(kind="question", answer=""),
                name="message_open_question",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient_name or self.audience}"
