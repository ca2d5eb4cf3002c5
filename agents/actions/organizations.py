"""Founds and changes organizations, and says who belongs to them."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from agents.actions import ranks, slugs
from agents.actions.refusals import AlreadyMember, Gone, OrganizationSlugTaken
from agents.activity import Actor, record
from agents.errors import LastOwner
from agents.models import Membership, Organization, Role, User


@transaction.atomic
def create_organization(fields: Mapping[str, Any], *, owner: User, by: Actor) -> Organization:
    """Found an organization with its first owner; without a slug, one is made from its name.

    Raises `OrganizationSlugTaken` for a slug asked for.
    """
    values = {**fields}
    wanted = values.pop("slug", "")
    organization = slugs.insert(
        Organization.objects.all(), values, wanted=wanted, taken=OrganizationSlugTaken
    )
    record(organization.id, "organization.created", by=by, name=organization.name)
    _join(organization, owner, Role.OWNER, by)
    return organization


@transaction.atomic
def update_organization(
    organization: Organization, changes: Mapping[str, Any], *, by: Actor
) -> Organization:
    """Change name, slug or limit. Raises `OrganizationSlugTaken`."""
    locked = _locked(organization)
    wanted = {name: value.lower() if name == "slug" else value for name, value in changes.items()}
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    if not changed:
        return locked
    for name, value in changed.items():
        setattr(locked, name, value)
    slugs.store(locked, taken=OrganizationSlugTaken, update_fields=list(changed))
    record(locked.id, "organization.updated", by=by, changed=sorted(changed))
    return locked


@transaction.atomic
def add_member(organization: Organization, user: User, role: str, *, by: Actor) -> Membership:
    """Give a person a role. Raises `AlreadyMember`, and `RankTooLow` above the actor's own."""
    locked = _locked(organization)
    ranks.check(locked, role, by=by)
    return _join(locked, user, role, by)


@transaction.atomic
def change_member(membership: Membership, role: str, *, by: Actor) -> Membership:
    """Give a member another role. Raises `RankTooLow`, and `LastOwner` for the last of them."""
    member = _locked_member(membership)
    if member.role == role:
        return member
    ranks.check(member.organization, member.role, role, by=by)
    _keep_an_owner(member)
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    _tell("member.changed", member, by, before=before)
    return member


@transaction.atomic
def remove_member(membership: Membership, *, by: Actor) -> None:
    """End a membership. Raises `RankTooLow`, and `LastOwner` for the last of them."""
    member = _locked_member(membership)
    ranks.check(member.organization, member.role, by=by)
    _keep_an_owner(member)
    _tell("member.removed", member, by)
    member.delete()


def _locked(organization: Organization) -> Organization:
    # One at a time may change who belongs; inserts that refer to the organization go on.
    locked = Organization.objects.select_for_update(no_key=True).filter(pk=organization.pk).first()
    if locked is None:
        raise Gone
    return locked


def _locked_member(membership: Membership) -> Membership:
    organization = _locked(membership.organization)
    member = organization.memberships.select_related("user").filter(pk=membership.pk).first()
    if member is None:
        raise Gone
    return member


def _keep_an_owner(leaving: Membership) -> None:
    others = leaving.organization.memberships.exclude(pk=leaving.pk)
    if leaving.role == Role.OWNER and not others.filter(role=Role.OWNER).exists():
        raise LastOwner


def _join(organization: Organization, user: User, role: str, by: Actor) -> Membership:
    try:
        with transaction.atomic():
            member = Membership.objects.create(organization=organization, user=user, role=role)
    except IntegrityError as error:
        raise AlreadyMember from error
    _tell("member.added", member, by)
    return member


def _tell(event: str, member: Membership, by: Actor, **more: Any) -> None:
    facts = {
        "user": str(member.user_id),
        "username": member.user.username,
        "role": member.role,
        **more,
    }
    record(member.organization_id, event, by=by, **facts)
