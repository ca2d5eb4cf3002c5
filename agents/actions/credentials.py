"""Creates and revokes integration keys and agent tokens; each secret is handed out once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from agents.actions import ranks
from agents.actions.refusals import ScopeTooWide
from agents.activity import Actor, Target, record
from agents.errors import AgentNotFound
from agents.models import ActorKind, Agent, AgentToken, IntegrationKey, Organization, Role


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a new key is called, what it may do, and until when; no scopes: all of its role."""

    name: str = ""
    role: str = Role.OPERATOR
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


@transaction.atomic
def create_key(
    organization: Organization, terms: KeyTerms, *, by: Actor
) -> tuple[IntegrationKey, str]:
    """A new key and its secret in the clear, which cannot be had again.

    Raises `RankTooLow` for a role above the actor's own, `ScopeTooWide` for scopes that a
    creating key does not have itself.
    """
    ranks.check(organization, terms.role, by=by)
    _check_scopes(terms.scopes, by)
    key, secret = IntegrationKey.unsaved(
        organization=organization,
        name=terms.name,
        role=terms.role,
        scopes=list(terms.scopes),
        expires_at=terms.expires_at,
        created_by_id=by.id if by.kind == ActorKind.MEMBER else None,
    )
    key.save(force_insert=True)
    _tell_of_key("key.created", key, by)
    return key, secret


@transaction.atomic
def revoke_key(key: IntegrationKey, *, by: Actor) -> IntegrationKey:
    """End a key at once; revoking it again changes nothing. Raises `RankTooLow`."""
    ranks.check(key.organization, key.role, by=by)
    usable = IntegrationKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
    if usable.update(revoked_at=timezone.now()):
        _tell_of_key("key.revoked", key, by)
    key.refresh_from_db()
    return key


@transaction.atomic
def create_token(
    agent: Agent, *, by: Actor, name: str = "", expires_at: datetime | None = None
) -> tuple[AgentToken, str]:
    """A new token of the agent and its secret in the clear, which cannot be had again."""
    return _issue(_locked(agent), by, name, expires_at)


@transaction.atomic
def rotate_token(agent: Agent, *, by: Actor) -> tuple[AgentToken, str]:
    """Revoke every token of the agent, and make the one that is left."""
    locked = _locked(agent)
    for token in locked.tokens.filter(revoked_at__isnull=True):
        _revoke(token, by)
    return _issue(locked, by, "", None)


@transaction.atomic
def revoke_token(token: AgentToken, *, by: Actor) -> AgentToken:
    """End a token at once; revoking it again changes nothing."""
    _locked(token.agent)
    _revoke(token, by)
    token.refresh_from_db()
    return token


def _locked(agent: Agent) -> Agent:
    # Of two rotations at once the second revokes what the first made.
    locked = Agent.objects.select_for_update(no_key=True).filter(pk=agent.pk).first()
    if locked is None:
        raise AgentNotFound
    return locked


def _issue(
    agent: Agent, by: Actor, name: str, expires_at: datetime | None
) -> tuple[AgentToken, str]:
    token, secret = AgentToken.unsaved(agent=agent, name=name, expires_at=expires_at)
    token.save(force_insert=True)
    _tell_of_token("token.created", token, by)
    return token, secret


def _revoke(token: AgentToken, by: Actor) -> None:
    usable = AgentToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
    if usable.update(revoked_at=timezone.now()):
        _tell_of_token("token.revoked", token, by)


def _check_scopes(wanted: Iterable[str], by: Actor) -> None:
    if by.kind != ActorKind.KEY or by.id is None:
        return
    own = set(IntegrationKey.objects.get(pk=by.id).scopes)
    if own and not (wanted and own.issuperset(wanted)):
        raise ScopeTooWide(scopes=sorted(wanted), own_scopes=sorted(own))


def _tell_of_key(event: str, key: IntegrationKey, by: Actor) -> None:
    record(key.organization_id, event, by=by, name=key.name, prefix=key.prefix, role=key.role)


def _tell_of_token(event: str, token: AgentToken, by: Actor) -> None:
    agent = token.agent
    about = Target(agent_id=agent.id)
    record(agent.organization_id, event, by=by, target=about, name=token.name, prefix=token.prefix)
