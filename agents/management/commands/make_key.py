"""`manage.py make_key <organization>`: a new integration key, shown once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.actions.credentials import KeyTerms, create_key
from agents.activity import SYSTEM
from agents.models import Organization, Role, Scope


class Command(BaseCommand):
    """Make a key for a program; the secret goes to the output alone, so that it can be kept."""

    help = "Make an integration key of an organization and print its secret once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", help="the organization's slug")
        parser.add_argument(
            "--role", choices=Role.values, default=Role.OPERATOR, help="default: operator"
        )
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            default=[],
            help="may be repeated; default: all that its role allows",
        )
        parser.add_argument("--name", default="command line")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            slugs = ", ".join(Organization.objects.values_list("slug", flat=True)[:20])
            known = f"there are: {slugs}" if slugs else "there is none yet, make one in the admin"
            raise CommandError(f"There is no organization of that slug; {known}.")
        terms = KeyTerms(options["name"], options["role"], tuple(options["scope"]))
        _, secret = create_key(organization, terms, by=SYSTEM)
        self.stdout.write(secret)
