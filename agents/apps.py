"""The agents app: who acts, and how an agent thinks."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    # What this app writes into the permanent record.
    activity_types = (
        "agent.created",
        "agent.deleted",
        "agent.offline",
        "agent.paused",
        "agent.resumed",
        "agent.silent",
        "agent.soul_written",
        "agent.updated",
        "gateway.created",
        "gateway.deleted",
        "gateway.secret_rotated",
        "gateway.updated",
        "key.created",
        "key.revoked",
        "member.added",
        "member.changed",
        "member.removed",
        "message.failed",
        "message.sent_again",
        "organization.created",
        "organization.updated",
        "token.created",
        "token.revoked",
        "webhook_endpoint.created",
        "webhook_endpoint.deleted",
        "webhook_endpoint.disabled",
        "webhook_endpoint.redelivered",
        "webhook_endpoint.secret_rotated",
        "webhook_endpoint.updated",
    )
