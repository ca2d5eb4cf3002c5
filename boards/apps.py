"""The boards app: what should be done."""

from django.apps import AppConfig


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
        "lead.message.sent",
        "memory.created",
        "memory.deleted",
        "onboarding.draft_finished",
        "onboarding.question_answered",
        "onboarding.question_asked",
        "onboarding.started",
        "question.answered",
        "question.asked",
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
        "webhook.updated",
    )
