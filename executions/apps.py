"""The executions app: what was done, and what does it."""

from django.apps import AppConfig
from django.conf import settings

from agents.runtime import modules

_FOLLOW_ENDS = (
    *(f"executions.engine.{each}" for each in ("children", "decisions", "jobs")),
    "executions.review.hand_in",
)


class ExecutionsConfig(AppConfig):
    name = "executions"
    # What this app writes into the permanent record.
    activity_types = (
        "execution.cancelled",
        "execution.cancelling",
        "execution.completed",
        "execution.extended",
        "execution.failed",
        "execution.forked",
        "execution.handed_in",
        "execution.message",
        "execution.pause_requested",
        "execution.paused",
        "execution.queued",
        "execution.recovered",
        "execution.resumed",
        "execution.started",
        "execution.waiting",
        "job.cancel_requested",
        "job.cancelled",
        "merge.refused",
        "merge.requested",
        "worktree.merged",
    )

    def ready(self) -> None:
        # What is registered by being imported: the built-in kind, and what follows an end.
        modules.load(["agents.runtime.react", *_FOLLOW_ENDS])
        modules.load(settings.SIGNALBOX_MODULES)
