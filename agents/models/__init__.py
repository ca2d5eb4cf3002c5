"""Who acts: organizations, people, keys, agents and what they did."""

from agents.models.activity import Activity, ActorKind
from agents.models.agent import Agent, LiveWork, SoulVersion
from agents.models.credentials import AgentToken, IntegrationKey, Scope
from agents.models.endpoint import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    DisabledBecause,
    WebhookEndpoint,
)
from agents.models.gateway import Gateway, GatewayKind
from agents.models.idempotency import IdempotencyKey
from agents.models.lookups import Alike
from agents.models.message import Audience, Message, MessageKind, MessageState
from agents.models.organization import Membership, Organization, Role, User

__all__ = [
    "Activity",
    "ActorKind",
    "Agent",
    "AgentToken",
    "Alike",
    "Audience",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "DisabledBecause",
    "Gateway",
    "GatewayKind",
    "IdempotencyKey",
    "IntegrationKey",
    "LiveWork",
    "Membership",
    "Message",
    "MessageKind",
    "MessageState",
    "Organization",
    "Role",
    "Scope",
    "SoulVersion",
    "User",
    "WebhookEndpoint",
]
