"""The composition root as an app: its commands and its checks."""

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    name = "config"
    label = "composition"

    def ready(self) -> None:
        # Once the apps are there: checks are registered, and floors told who answers for them.
        from agents import departures, hearing, presence  # noqa: PLC0415
        from boards import answers as of_people  # noqa: PLC0415
        from boards import decisions as of_boards  # noqa: PLC0415
        from boards import queries as cards  # noqa: PLC0415
        from boards import reviews as of_cards  # noqa: PLC0415
        from boards.actions import seats  # noqa: PLC0415
        from boards.hooks import starting as of_hooks  # noqa: PLC0415
        from boards.models import ApprovalKind  # noqa: PLC0415
        from config import checks  # noqa: F401, PLC0415
        from executions import answers, auto_start, hook_starts, interviews, queries  # noqa: PLC0415
        from executions.engine import decisions  # noqa: PLC0415
        from executions.review import decisions as reviews  # noqa: PLC0415

        presence.served_queues.told_by(queries.served_queues)
        cards.shown_with(queries.with_last_execution)
        of_boards.told_to(decisions.hear)
        of_people.told_to(answers.hear)
        departures.prepared_by(seats.vacate)
        of_boards.told_to(reviews.hear)
        of_cards.told_to(reviews.hear_of_review)
        of_boards.decided_by(ApprovalKind.MERGE, reviews.decide)
        hearing.told_to(auto_start.hear)
        hearing.told_to(interviews.hear)
        of_hooks.started_by(hook_starts.start)
