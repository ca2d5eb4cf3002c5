"""Worker: a process that carries out executions, and when it last gave a sign."""

from django.db import models

from agents.models.base import Keyed


class Worker(Keyed):
    """A worker process. Its keeper writes `seen_at` with each renewal of its leases.

    `kinds` are the kinds of agents that it has, as `Kind.label` says them.
    """

    name = models.CharField(max_length=200)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    kinds = models.JSONField(default=list)
    concurrency = models.PositiveIntegerField(default=1)
    running = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField()
    is_draining = models.BooleanField(default=False)

    class Meta:
        ordering = ["-seen_at"]
        # Serves the question whether any worker is alive.
        indexes = [models.Index(fields=["seen_at"], name="worker_seen")]

    def __str__(self) -> str:
        return self.name
