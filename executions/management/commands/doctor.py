"""`manage.py doctor`: say how this installation is, and what to do about what is wrong."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.markup import escape

from executions.diagnosis import Finding, Level, diagnose

_MARKS = {
    Level.OK: "[green]✓[/green]",
    Level.NOTE: "[yellow]·[/yellow]",
    Level.WRONG: "[red]✗[/red]",
}


class Command(BaseCommand):
    """Exits with 1 when something is wrong."""

    help = "Show what is configured, reachable, migrated and alive, and what is stuck and why."
    # It must speak also where a check of the system fails or a migration is missing.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = diagnose()
        wrong = [finding for finding in findings if finding.level is Level.WRONG]
        if options["json"]:
            told = {"ok": not wrong, "findings": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(told, indent=2))
        else:
            _print(_console(self.stdout), findings)
        if wrong:
            raise SystemExit(1)


def _console(out: Any) -> Console:
    # Django's wrapper writes like a file, and is one to everybody but the type checker.
    return Console(file=out, soft_wrap=True, highlight=False)


def _print(console: Console, findings: list[Finding]) -> None:
    for section, found in groupby(findings, lambda finding: finding.section):
        console.print(f"[bold]{section}[/bold]")
        for finding in found:
            mark, text = _MARKS[finding.level], escape(finding.text)
            console.print(f"  {mark} {escape(finding.name)}: {text}")
            if finding.advice:
                console.print(f"    [dim]→ {escape(finding.advice)}[/dim]")
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    console.print(f"[red]{wrong} wrong[/red]" if wrong else "[green]All is well.[/green]")
