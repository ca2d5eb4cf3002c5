"""The executions app: what was done, and what does it."""

from django.apps import AppConfig
from django.conf import settings

from agents.runtime import modules


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
        "execution.pause_requested",
        "execution.paused",
        "execution.queued",
        "execution.recovered",
        "execution.resumed",
        "execution.started",
        "execution.waiting",
    )

    def ready(self) -> None:
        modules.load(settings.SIGNALBOX_MODULES)
