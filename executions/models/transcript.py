"""The transcript: entries, checkpoints and events of an execution, all append-only."""

from django.db import models

from agents.models.base import Keyed
from executions.models.execution import Execution


class EntryType(models.TextChoices):
    """What an entry is."""

    MESSAGE = "message"
    LLM_CALL = "llm_call"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    INJECTION = "injection"
    COMPACTION = "compaction"


class Entry(Keyed):
    """One item of the conversation. An execution's own entries are a line by `position`.

    `content` is our neutral form: `{text, tool_requests?, call_id?, tool_name?, raw?}`, and what
    `executions.transcripts` names besides.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    parent_id = models.UUIDField(null=True)
    turn = models.PositiveIntegerField()
    type = models.CharField(max_length=12, choices=EntryType)
    role = models.CharField(max_length=12)
    content = models.JSONField()
    usage = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position"]
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "position"], name="entries_of_an_execution_are_a_line"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.type}"


class Checkpoint(Keyed):
    """A numbered snapshot: the leaf's position, the state, and the commit of the files."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="checkpoints")
    sequence = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    turn = models.PositiveIntegerField()
    state = models.JSONField(default=dict)
    tree = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["sequence"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "sequence"], name="one_checkpoint_a_sequence"
            ),
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.sequence}"


class Event(Keyed):
    """One numbered fact in an execution's stream; `seq` counts from 1 without a gap."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=60)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["seq"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "seq"], name="one_event_a_seq"),
        ]

    def __str__(self) -> str:
        return f"{self.seq}. {self.type}"
