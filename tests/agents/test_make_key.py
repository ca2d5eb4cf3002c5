"""`manage.py make_key` makes a key that opens its organization, and nothing but it is printed."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from tests.factories import make_organization

pytestmark = pytest.mark.django_db


def test_what_it_prints_is_the_key_of_that_organization() -> None:
    make_organization(slug="other")
    mine, out = make_organization(slug="mine"), StringIO()
    call_command("make_key", "mine", stdout=out)
    client = APIClient(headers={"Authorization": f"Bearer {out.getvalue().strip()}"})
    answer = client.get("/api/v0/organizations")
    assert [each["id"] for each in answer.json()["results"]] == [str(mine.id)]


def test_an_unknown_organization_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(CommandError, match="nor any other; make run makes one"):
        call_command("make_key", "nope")
    make_organization(slug="mine")
    with pytest.raises(CommandError, match="there are: mine"):
        call_command("make_key", "nope")
