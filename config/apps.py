"""The composition root as an app: its commands and its checks."""

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    name = "config"
    label = "composition"

    def ready(self) -> None:
        # Once the apps are there: checks are registered, and floors told who answers for them.
        from agents import presence  # noqa: PLC0415
        from boards import decisions as of_boards  # noqa: PLC0415
        from config import checks  # noqa: F401, PLC0415
        from executions import queries  # noqa: PLC0415
        from executions.engine import decisions  # noqa: PLC0415

        presence.served_queues.told_by(queries.served_queues)
        of_boards.told_to(decisions.hear)
