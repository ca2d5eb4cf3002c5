"""`manage.py reseal`: seals every kept secret with the first of the sealing keys."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from agents.sealing import SealBroken, reseal


class Command(BaseCommand):
    """Run it after a new key was put first; once it is through, the old one may go."""

    help = "Seal every kept secret anew, with the first of SIGNALBOX_SEALING_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        done, broken = 0, []
        for model in apps.get_models():
            for key in _rows_with_secrets(model):
                try:
                    done += _reseal(model, key)
                except SealBroken:
                    broken.append(f"{model._meta.verbose_name} {key}")
        self.stdout.write(f"{done} rows were sealed with the first key.")
        if broken:
            raise CommandError(f"No key opens the secrets of: {', '.join(broken)}.")


def _rows_with_secrets(model: type[Model]) -> list[Any]:
    names = getattr(model, "sealed_fields", ())
    if not names or model._meta.abstract:
        return []
    return list(model._default_manager.order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def _reseal(model: type[Model], key: Any) -> int:
    """Under the row's lock: a secret that is changed meanwhile is not put back."""
    row = model._default_manager.select_for_update(no_key=True).filter(pk=key).first()
    names = [name for name in model.sealed_fields if row and getattr(row, name)]  # type: ignore[attr-defined]  # Of those that name some.
    if row is None or not names:
        return 0
    for name in names:
        setattr(row, name, reseal(getattr(row, name)))
    row.save(update_fields=names)
    return 1
