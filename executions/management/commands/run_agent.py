"""`manage.py run_agent <agent> --prompt …`: start a run and stream it to the terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException
from rich.console import Console
from rich.markup import escape

from agents.activity import SYSTEM
from agents.models import Agent
from boards.models import Board
from executions import actions
from executions.configuration import Wish
from executions.explanation import reasons_of
from executions.models import Execution, Status
from executions.standing import standing
from executions.terminal import Transcript


class Command(BaseCommand):
    """Run an agent as a durable execution: Ctrl-C leaves the terminal, not the run."""

    help = "Run an agent and stream its transcript."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("agent", help="the agent's slug, or organization/agent")
        parser.add_argument("--prompt", default="", help="what to do")
        parser.add_argument("--action", default="", help="one of the agent's actions")
        parser.add_argument("--board", default="", help="slug of the board whose files it gets")

    def handle(self, *args: Any, **options: Any) -> None:
        execution = self._started(options)
        console = Console()
        console.print(f"[dim]execution {execution.id}[/dim]")
        for reason in reasons_of(standing(execution)):
            if reason.goes_on:  # Else nothing is in its way.
                text = escape(f"{reason.text} {reason.goes_on}")
                console.print(f"[yellow]{text}[/yellow]", soft_wrap=True)
        try:
            ended = Transcript(console).show(execution)
        except KeyboardInterrupt:
            console.print(f"\nThe run goes on: execution {execution.id}.")
            return
        if ended.status != Status.COMPLETED:
            raise CommandError(f"The execution is {ended.status}.", returncode=1)

    def _started(self, options: dict[str, Any]) -> Execution:
        agent = self._agent(options["agent"])
        boards = Board.objects.filter(organization=agent.organization_id)
        board = boards.filter(slug=options["board"]).first()
        if options["board"] and board is None:
            raise CommandError(f"There is no board {options['board']!r} in its organization.")
        seat = getattr(agent, "seat", None)
        wish = Wish(
            action=options["action"],
            prompt=options["prompt"],
            board=board or (seat.board if seat else None),
        )
        try:
            return actions.start(agent, wish, by=SYSTEM)
        except APIException as refusal:
            raise CommandError(str(refusal.detail)) from refusal

    def _agent(self, name: str) -> Agent:
        organization, _, slug = name.rpartition("/")
        agents = Agent.objects.filter(slug=slug)
        if organization:
            agents = agents.filter(organization__slug=organization)
        found = list(agents.select_related("seat__board")[:2])
        if not found:
            raise CommandError(f"There is no agent {name!r}.")
        if len(found) > 1:
            raise CommandError(
                f"Several organizations have an agent {slug!r}: name organization/agent."
            )
        return found[0]
