"""`manage.py demo`: carry out one real execution in front of whoever looks on."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from agents.activity import SYSTEM
from executions import actions
from executions.configuration import Wish
from executions.demonstration import PROMPT, Demonstration, set_up
from executions.models import Status
from executions.terminal import Transcript


class Command(BaseCommand):
    """Show what Signalbox does, with real tools on a small git repository."""

    help = "Run the demonstration agent on the demonstration repository."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the web listens")

    def handle(self, *args: Any, **options: Any) -> None:
        console, shown = Console(), set_up()
        _introduce(console, shown)
        wish = Wish(prompt=PROMPT, board=shown.board)
        execution = actions.start(shown.agent, wish, by=SYSTEM)
        ended = Transcript(console).show(execution)
        admin = f"{options['url']}/admin/executions/execution/{execution.id}/change/"
        console.print(f"See it at [link={admin}]{admin}[/link]", soft_wrap=True)
        if shown.password:
            console.print(
                f"Sign in as [bold]{shown.user.username}[/bold] with [bold]{shown.password}[/bold]"
                " (shown this once; manage.py changepassword operator makes another)."
            )
        if ended.status != Status.COMPLETED:
            raise CommandError(f"The demonstration is {ended.status}.")


def _introduce(console: Console, shown: Demonstration) -> None:
    scripted = shown.agent.model.startswith("scripted:")
    model = (
        "The model is scripted: its words are fixed, everything else is real. With "
        "OPENAI_API_KEY or ANTHROPIC_API_KEY and SIGNALBOX_MODEL set, a real model works."
        if scripted
        else f"The model is {shown.agent.model}."
    )
    if os.environ.get("SIGNALBOX_ALLOW_UNCONFINED_BASH"):
        model += "\nBash is NOT confined here: neither bubblewrap nor Landlock was found."
    work = f"{shown.agent.name} works on {escape(shown.board.repository)}"
    console.print(
        Panel(
            f"{work}\n{model}\n\n[b]{PROMPT}[/b]",
            title="Signalbox demonstration",
            border_style="cyan",
        )
    )
