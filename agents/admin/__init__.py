"""The operators' view of organizations and agents; Django finds the pages here."""

from agents.admin import agents, credentials, endpoints, messages, organizations, record

__all__ = ["agents", "credentials", "endpoints", "messages", "organizations", "record"]
