"""Step: the memory of an effect of agent code, by the key that its author gave it."""

from django.db import models
from django.db.models import Q

from agents.models.base import Keyed
from executions.models.execution import Execution


class Step(Keyed):
    """One effect of an execution. The same key is the same effect, however often code runs.

    `digest` is that of the input, so that a key with another input is found out. `result` is what
    code is given again; it is there once `finished_at` is. One that is begun and not finished was
    under way when its worker was lost, or is a wait that goes on (`result` then has its due time).
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    digest = models.CharField(max_length=64)
    result = models.JSONField(null=True)
    claim_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "key"], name="one_step_a_key"),
            models.CheckConstraint(condition=~Q(key=""), name="a_step_has_a_key"),
        ]

    def __str__(self) -> str:
        return self.key
