"""Creates, configures, pauses and deletes agents, and writes their souls."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from agents import departures
from agents.actions import configuration, slugs
from agents.activity import Actor, Target, record
from agents.errors import AgentAlreadyRunning, AgentNotFound, AgentSlugTaken, GatewayNotFound
from agents.models import Agent, Gateway, Organization, SoulVersion

# What a run was started with, and what an operator reads beside it while it goes on.
_FIXED_WHILE_LIVE = frozenset({"tools", "model", "hooks"})


@transaction.atomic
def create_agent(organization: Organization, fields: Mapping[str, Any], *, by: Actor) -> Agent:
    """A new agent; without a slug, one is made from its name; a soul becomes version 1.

    Raises the refusals of `configuration.check`, and `AgentSlugTaken` for a slug asked for.
    """
    values = {**fields}
    wanted, soul = values.pop("slug", ""), values.pop("soul", "")
    configuration.check(values)
    _check_gateway(organization.id, values.get("gateway"))
    values["organization"] = organization
    agent = slugs.insert(
        Agent.objects.filter(organization=organization),
        values,
        wanted=wanted,
        taken=AgentSlugTaken,
    )
    _tell("agent.created", agent, by, name=agent.name, slug=agent.slug)
    if soul:
        _add_version(agent, soul, by, reason="", source_url="")
    return agent


@transaction.atomic
def configure_agent(agent: Agent, changes: Mapping[str, Any], *, by: Actor) -> Agent:
    """Change an agent's fields; another soul becomes its next version.

    Raises `AgentAlreadyRunning` for other tools, hooks or another model while it has a live
    execution, `AgentSlugTaken`, and the refusals of `configuration.check`.
    """
    locked = _locked(agent)
    wanted = {name: value.lower() if name == "slug" else value for name, value in changes.items()}
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    configuration.check(changed)
    _check_gateway(locked.organization_id, changed.get("gateway"))
    if changed.keys() & _FIXED_WHILE_LIVE:
        _refuse_if_live(locked)
    soul = changed.pop("soul", None)
    if changed:
        _write(locked, changed)
        _tell("agent.updated", locked, by, changed=sorted(changed))
    if soul is not None:
        _add_version(locked, soul, by, reason="", source_url="")
    return locked


@transaction.atomic
def write_soul(
    agent: Agent, content: str, *, by: Actor, reason: str = "", source_url: str = ""
) -> SoulVersion:
    """Add the next version of an agent's standing instructions, and make it the current one."""
    return _add_version(_locked(agent), content, by, reason, source_url)


@transaction.atomic
def pause_agent(agent: Agent, *, by: Actor) -> Agent:
    """Mark an agent as paused: executions see the flag and start no work for it."""
    return _set_paused(agent, "agent.paused", by, is_paused=True)


@transaction.atomic
def unpause_agent(agent: Agent, *, by: Actor) -> Agent:
    """Take the mark away."""
    return _set_paused(agent, "agent.resumed", by, is_paused=False)


@transaction.atomic
def delete_agent(agent: Agent, *, by: Actor) -> None:
    """Remove an agent, its souls, tokens and seat; its activity stays, its tasks are handed back.

    Raises `AgentAlreadyRunning` while it has a live execution.
    """
    departures.prepare(agent, by=by)
    locked = _locked(agent)
    _refuse_if_live(locked)
    _tell("agent.deleted", locked, by, name=locked.name, slug=locked.slug)
    locked.delete()


def _check_gateway(organization_id: UUID, gateway: Gateway | None) -> None:
    """The database refuses another organization's too, but only at the commit."""
    if gateway is not None and gateway.organization_id != organization_id:
        raise GatewayNotFound


def _locked(agent: Agent) -> Agent:
    # A start holds this row (`agents.live.hold`) while it inserts its LiveWork, so that it has
    # either committed it by now or has not begun.
    locked = Agent.objects.select_for_update(no_key=True).filter(pk=agent.pk).first()
    if locked is None:
        raise AgentNotFound
    return locked


def _refuse_if_live(agent: Agent) -> None:
    live = agent.live_work.first()
    if live:
        raise AgentAlreadyRunning(
            current_execution_id=live.execution_id, current_task_id=live.task_id
        )


def _write(agent: Agent, changed: Mapping[str, Any]) -> None:
    for name, value in changed.items():
        setattr(agent, name, value)
    slugs.store(agent, taken=AgentSlugTaken, update_fields=[*changed, "updated_at"])


def _set_paused(agent: Agent, event: str, by: Actor, *, is_paused: bool) -> Agent:
    locked = _locked(agent)
    if locked.is_paused != is_paused:
        _write(locked, {"is_paused": is_paused})
        _tell(event, locked, by)
    return locked


def _add_version(
    agent: Agent, content: str, by: Actor, reason: str, source_url: str
) -> SoulVersion:
    newest = agent.soul_versions.aggregate(newest=Max("number"))["newest"] or 0
    version = SoulVersion.objects.create(
        agent=agent,
        number=newest + 1,
        content=content,
        reason=reason,
        source_url=source_url,
        author_name=by.name[:200],
    )
    _write(agent, {"soul": content})
    _tell("agent.soul_written", agent, by, number=version.number)
    return version


def _tell(event: str, agent: Agent, by: Actor, **facts: Any) -> None:
    record(agent.organization_id, event, by=by, target=Target(agent_id=agent.id), **facts)
