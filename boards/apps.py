"""The boards app: what should be done."""

from django.apps import AppConfig

from agents.runtime.tools import catalogue
from boards.agent_api.hints import TOOL_NAMES


class BoardsConfig(AppConfig):
    name = "boards"
    # What this app writes into the permanent record.
    activity_types = (
        "agent.nudge.failed",
        "agent.nudge.sent",
        "agent.soul.read",
        "agent.soul.sent",
        "approval.approved",
        "approval.rejected",
        "approval.requested",
        "approval.withdrawn",
        "board.agents_paused",
        "board.agents_resumed",
        "board.created",
        "board.deleted",
        "board.paused",
        "board.resumed",
        "board.updated",
        "custom_field.created",
        "custom_field.deleted",
        "custom_field.updated",
        "lead.message.failed",
        "lead.message.sent",
        "memory.created",
        "memory.deleted",
        "onboarding.cancelled",
        "onboarding.confirmed",
        "onboarding.draft_edited",
        "onboarding.draft_finished",
        "onboarding.question_answer_changed",
        "onboarding.question_answered",
        "onboarding.question_asked",
        "onboarding.started",
        "onboarding.taken_over",
        "question.answered",
        "question.asked",
        "schedule.created",
        "schedule.deleted",
        "schedule.run",
        "schedule.updated",
        "seat.created",
        "seat.deleted",
        "seat.updated",
        "tag.created",
        "tag.deleted",
        "tag.updated",
        "task.assigned",
        "task.commented",
        "task.created",
        "task.deleted",
        "task.moved",
        "task.updated",
        "webhook.created",
        "webhook.deleted",
        "webhook.received",
        "webhook.secret_rotated",
        "webhook.start_failed",
        "webhook.updated",
    )

    def ready(self) -> None:
        catalogue.register_names(TOOL_NAMES, arguments_of=_arguments_of)


def _arguments_of(name: str) -> frozenset[str]:
    from boards.agent_api import tool_operations  # noqa: PLC0415 - of views, which models come before.

    return tool_operations.arguments_of(name)
