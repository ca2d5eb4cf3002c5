"""Callers: keys, tokens and the clients that carry them."""

from typing import Any

from django.test import Client

from agents.models import Agent, AgentToken, IntegrationKey, Organization


def key_of(organization: Organization, **fields: Any) -> str:
    row, secret = IntegrationKey.unsaved(organization=organization, **fields)
    row.save()
    return secret


def token_of(agent: Agent, **fields: Any) -> str:
    row, secret = AgentToken.unsaved(agent=agent, **fields)
    row.save()
    return secret


def client_of(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)
