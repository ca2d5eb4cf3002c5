"""Finds an agent by what a path may name it with."""

from uuid import UUID

from django.db.models import QuerySet

from agents.errors import AgentNotFound
from agents.models import Agent


def find_agent(rows: QuerySet[Agent], id_or_slug: str) -> Agent:
    """The agent among `rows` with this id or slug. Raises `AgentNotFound`."""
    try:
        found = rows.filter(id=UUID(id_or_slug)).first()
    except ValueError:
        found = rows.filter(slug=id_or_slug.lower()).first()
    if found is None:
        raise AgentNotFound
    return found
