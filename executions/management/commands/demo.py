"""`manage.py demo`: carry out one real execution in front of whoever looks on."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from boards.models import Task
from executions.at_work import Terms, start_on
from executions.demonstration import (
    PROMPT,
    REASON,
    TITLE,
    Demonstration,
    make_task,
    prepare,
    set_up,
)
from executions.git.command import Git
from executions.models import Execution, MergeStatus, Status
from executions.onlooker import Onlooker
from executions.terminal import Transcript


class Command(BaseCommand):
    """Show what Signalbox does, with real tools on a small git repository."""

    help = "Run the demonstration agent on the demonstration repository."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the web listens")

    def handle(self, *args: Any, **options: Any) -> None:
        console, shown = Console(), set_up()
        _introduce(console, shown)
        task, onlooker = make_task(shown), Onlooker(console, shown.operator)
        execution = start_on(task, prepare(shown), Terms(), by=shown.operator)
        execution = _carried_out(onlooker, task, execution)
        execution = _carried_out(onlooker, task, onlooker.reject(execution, REASON))
        merge = onlooker.approve(execution)
        if merge is None or merge.status != MergeStatus.MERGED:
            raise CommandError("The work was not merged.")
        _show_history(console, Path(shown.board.repository))
        _say_where(console, shown, options["url"], task)


def _carried_out(onlooker: Onlooker, task: Task, execution: Execution) -> Execution:
    """Watch an execution to its end, and until its work is in review."""
    ended = Transcript(onlooker.console, tell=onlooker.hear).show(execution)
    if ended.status != Status.COMPLETED:
        raise CommandError(f"The demonstration is {ended.status}.")
    if not onlooker.wait_for_review(task):
        raise CommandError("The work was not handed in.")
    onlooker.console.print("[dim]· its task is in review, with its answer as a comment[/dim]")
    return ended


def _show_history(console: Console, repository: Path) -> None:
    console.rule("main", style="dim")
    drawn = Git(repository / ".git").run("log", "--graph", "--format=%h %s (%an)", "-8", "main")
    console.print(drawn.decode("utf-8", "replace").rstrip(), markup=False, highlight=False)


def _say_where(console: Console, shown: Demonstration, url: str, task: Task) -> None:
    console.rule(style="dim")
    admin, docs = f"{url}/admin/boards/task/{task.id}/change/", f"{url}/api/v0/docs/"
    console.print(f"See it at [link={admin}]{admin}[/link]", soft_wrap=True)
    console.print(_sign_in(shown), soft_wrap=True)
    console.print(f"The API is at [link={docs}]{docs}[/link]; README.md says how to use it.")


def _sign_in(shown: Demonstration) -> str:
    name, another = shown.user.username, ".venv/bin/python manage.py changepassword"
    if not shown.password:
        return f"Sign in as [bold]{name}[/bold]; {another} {name} makes another password."
    word = f"[bold]{name}[/bold] with [bold]{escape(shown.password)}[/bold]"
    return f"Sign in as {word} (shown this once; {another} {name} makes another)."


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
            f"{work}\n{model}\n\n[b]{TITLE}.[/b] {PROMPT}",
            title="Signalbox demonstration",
            border_style="cyan",
        )
    )
