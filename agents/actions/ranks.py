"""The rule of ranks: nobody grants or removes a rank above their own."""

from uuid import UUID

from agents.activity import Actor
from agents.errors import RankTooLow
from agents.models import ActorKind, IntegrationKey, Membership, Organization, Role, User


def check(organization: Organization, *granted: str, by: Actor) -> None:
    """Raise `RankTooLow` if the actor's rank does not reach every given one.

    The actor's rank is read here and now, under the caller's lock, not when they signed in.
    """
    own = _rank(organization, by)
    for role in map(Role, granted):
        if own is None or not own.reaches(role):
            raise RankTooLow(role=role, own_role=own)


def _rank(organization: Organization, by: Actor) -> Role | None:
    if by.kind == ActorKind.SYSTEM:
        return Role.OWNER
    if by.id is None:
        return None
    if by.kind == ActorKind.KEY:
        key = IntegrationKey.objects.filter(organization=organization, id=by.id).first()
        return Role(key.role) if key and key.is_usable else None
    if by.kind == ActorKind.MEMBER:
        return _rank_of_person(organization, by.id)
    return None


def _rank_of_person(organization: Organization, user_id: UUID) -> Role | None:
    membership = Membership.objects.filter(organization=organization, user_id=user_id).first()
    if membership:
        return Role(membership.role)
    return Role.OWNER if User.objects.filter(id=user_id, is_superuser=True).exists() else None
