"""Lets a start and a change of what it starts see each other."""

from typing import TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)


def hold(row: Row) -> Row:
    """The row as it is now, held until the transaction ends; raises `DoesNotExist`.

    A start holds its agent, task and board before it inserts their LiveWork, in a transaction.
    Starts share the row with each other, but wait for whoever changes or deletes it, and the
    other way round. The foreign keys alone do not do that: Django defers them to the commit.
    """
    model = type(row)
    table, key = model._meta.db_table, row.pk
    # The table's name is the model's own; Django has no words for a shared lock.
    query = f'SELECT * FROM "{table}" WHERE id = %s FOR SHARE'  # noqa: S608
    held = next(iter(model._base_manager.raw(query, [key])), None)
    if held is None:
        raise model.DoesNotExist  # type: ignore[attr-defined]  # Every concrete model has one.
    return held
