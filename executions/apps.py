"""The executions app: what was done, and what does it."""

from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"
    # What this app writes into the permanent record.
    activity_types = (
        "execution.cancelled",
        "execution.cancelling",
        "execution.completed",
        "execution.extended",
        "execution.failed",
        "execution.pause_requested",
        "execution.paused",
        "execution.queued",
        "execution.recovered",
        "execution.resumed",
        "execution.started",
        "execution.waiting",
    )
