"""Secrets at rest: sealed, opened by every key, and moved to a new one."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from agents.models import Gateway
from agents.sealing import SealBroken, seal, unseal
from tests.factories import make_organization


@pytest.fixture
def keys(settings):
    settings.SEALING_KEYS = ["old"]
    return settings


def test_what_is_sealed_is_not_to_be_read_and_comes_back(keys) -> None:
    sealed = seal("owls at dusk")
    assert "owls" not in sealed
    assert sealed != seal("owls at dusk"), "equal secrets look different"
    assert unseal(sealed) == "owls at dusk"


def test_a_new_key_opens_what_the_old_one_sealed(keys) -> None:
    sealed = seal("owls")
    keys.SEALING_KEYS = ["new", "old"]
    assert unseal(sealed) == "owls"
    keys.SEALING_KEYS = ["new"]
    with pytest.raises(SealBroken):
        unseal(sealed)


def test_a_changed_text_is_not_opened(keys) -> None:
    sealed = seal("owls")
    with pytest.raises(SealBroken):
        unseal(sealed[:-4] + "AAAA")


@pytest.mark.django_db
def test_all_rows_are_sealed_anew_before_the_old_key_goes(keys, capsys) -> None:
    organization = make_organization()
    for name in ("one", "two"):
        Gateway.objects.create(organization=organization, name=name, sealed_secret=seal(name))
    Gateway.objects.create(organization=organization, name="without")
    keys.SEALING_KEYS = ["new", "old"]
    call_command("reseal")
    assert capsys.readouterr().out.startswith("2 rows")
    keys.SEALING_KEYS = ["new"]
    found = Gateway.objects.exclude(sealed_secret="").order_by("name")
    assert [unseal(row.sealed_secret) for row in found] == ["one", "two"]


@pytest.mark.django_db
def test_a_secret_that_no_key_opens_is_named(keys) -> None:
    row = Gateway.objects.create(
        organization=make_organization(), name="one", sealed_secret=seal("one")
    )
    keys.SEALING_KEYS = ["new"]
    with pytest.raises(CommandError, match=str(row.pk)):
        call_command("reseal")
