"""Makes tags, and puts them on tasks."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import transaction
from django.utils.text import slugify
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.actions import slugs
from agents.activity import Actor, record
from agents.errors import Refusal
from agents.models import Organization
from boards.models import Tag, Task

check_color = RegexValidator(
    r"\A[0-9a-fA-F]{6}\Z", "A color has six hexadecimal digits, as in 9e9e9e.", code="invalid"
)


class TagNotFound(Refusal):
    """There is no such tag in this organization."""

    code = "TAG_NOT_FOUND"
    status_code = 404


class TagSlugTaken(Refusal):
    """Another tag of this organization has this slug."""

    code = "TAG_SLUG_TAKEN"


@transaction.atomic
def create_tag(organization: Organization, fields: Mapping[str, Any], *, by: Actor) -> Tag:
    """A new tag; without a slug, its name makes one. Raises `TagSlugTaken` for either."""
    values = _normal(fields)
    if not values.get("slug"):
        values["slug"] = _slug_of(values["name"])
    tag = slugs.store(Tag(organization=organization, **values), taken=TagSlugTaken)
    _tell("tag.created", tag, by)
    return tag


@transaction.atomic
def change_tag(tag: Tag, changes: Mapping[str, Any], *, by: Actor) -> Tag:
    """Change a tag; another name leaves its slug. Raises `TagNotFound` and `TagSlugTaken`."""
    locked = _locked(tag)
    wanted = _normal(changes)
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(locked, name, value)
        slugs.store(locked, taken=TagSlugTaken, update_fields=[*changed, "updated_at"])
        _tell("tag.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def delete_tag(tag: Tag, *, by: Actor) -> None:
    """Remove a tag, from all tasks that have it too."""
    locked = _locked(tag)
    _tell("tag.deleted", locked, by)
    locked.delete()


def set_tags(task: Task, tag_ids: Collection[UUID]) -> bool:
    """Let a task have these tags and no others; whether that changed any.

    To be called in the caller's transaction. Raises `TagNotFound` with `unknown_tag_ids`.
    """
    wanted = set(tag_ids)
    of_organization = Tag.objects.filter(organization=task.board.organization_id)
    found = set(of_organization.filter(id__in=wanted))
    unknown = wanted - {tag.id for tag in found}
    if unknown:
        raise TagNotFound(unknown_tag_ids=sorted(unknown))
    before = set(task.tags.all())
    task.tags.set(found)
    return before != found


def _normal(fields: Mapping[str, Any]) -> dict[str, Any]:
    lowered = {name: fields[name].lower() for name in ("slug", "color") if name in fields}
    if "color" in fields:
        try:
            check_color(fields["color"])
        except ValidationError as error:
            raise InvalidFields({"color": error.messages}) from error
    return {**fields, **lowered}


def _slug_of(name: str) -> str:
    slug = slugify(name)[: slugs.LONGEST].strip("-_")
    if not slug:
        raise InvalidFields({"slug": "No slug can be made from this name; give one."})
    return slug


def _locked(tag: Tag) -> Tag:
    locked = Tag.objects.select_for_update(no_key=True).filter(pk=tag.pk).first()
    if locked is None:
        raise TagNotFound
    return locked


def _tell(event: str, tag: Tag, by: Actor, **facts: Any) -> None:
    record(tag.organization_id, event, by=by, tag_id=str(tag.id), slug=tag.slug, **facts)
