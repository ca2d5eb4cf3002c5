"""Stores rows under a free slug, whoever else looks for one at the same time."""

from collections.abc import Iterator
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.text import slugify

from agents.errors import Refusal

LONGEST = 80
Row = TypeVar("Row", bound=models.Model)


def check_slug(value: str) -> None:
    """Refuse a slug that reads as an id: a path that takes either could not tell them apart."""
    if _is_id(value):
        raise ValidationError("A slug must not look like an id.", code="looks_like_id")


def insert(
    rows: "models.QuerySet[Row]", fields: dict[str, Any], *, wanted: str, taken: type[Refusal]
) -> Row:
    """Create a row, with the slug that is wanted, else with one made from its name.

    `rows` are those among which the slug must be the only one. Raises `taken` when a wanted slug
    is not free; one that is made gets a suffix instead.
    """
    if wanted:
        return store(rows.model(**fields, slug=wanted.lower()), taken=taken)
    candidates = _free(rows, fields["name"])
    while True:
        try:
            return store(rows.model(**fields, slug=next(candidates)), taken=taken)
        except taken:
            continue


def store(row: Row, *, taken: type[Refusal], update_fields: list[str] | None = None) -> Row:
    """Insert a row, or write the named fields; raise `taken` if its slug is another row's.

    The index decides, not a look beforehand: of two at once the second waits for the first.
    """
    try:
        with transaction.atomic():
            row.save(update_fields=update_fields, force_insert=update_fields is None)
    except IntegrityError as error:
        if "slug" not in _constraint(error):
            raise
        raise taken(slug=getattr(row, "slug", "")) from error
    return row


def _free(rows: "models.QuerySet[Row]", name: str) -> Iterator[str]:
    kind = rows.model._meta.model_name or "row"
    base = slugify(name)[: LONGEST - 8].strip("-_") or kind
    if _is_id(base):
        base = f"{kind}-{base}"
    used = set(rows.filter(slug__startswith=base).values_list("slug", flat=True))
    number = 1
    while True:
        slug = base if number == 1 else f"{base}-{number}"
        if slug not in used:
            yield slug
        number += 1


def _is_id(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _constraint(error: IntegrityError) -> str:
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""
