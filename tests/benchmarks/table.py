"""Prints a report for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Figure, Report, Step

_AIMS = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}


def show(report: Report, console: Console) -> None:
    """Print every figure with its aim, then where the time of one run goes."""
    console.print(*(f"{name}: {value}" for name, value in report.facts.items()), sep="\n")
    console.print(_figures(report.figures))
    for kind, steps in report.steps.items():
        console.print(_steps(kind, steps))


def _figures(figures: list[Figure]) -> Table:
    table = Table("", "figure", title="Measured in one run on this machine", title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("aim", justify="right")
    table.add_column("")
    table.add_column("what it is")
    part = ""
    for each in figures:
        if part and each.part != part:
            table.add_section()
        sign = "≥" if each.is_more_better else "≤"
        aim = "" if each.aim is None else f"{sign} {each.aim:g} {each.unit}"
        shown = each.part if each.part != part else ""
        table.add_row(shown, each.name, _value(each), aim, _AIMS[each.is_met], each.what)
        part = each.part
    return table


def _value(figure: Figure) -> str:
    digits = 0 if figure.unit in {"", "MB", "/s"} else 2
    return f"{figure.value:,.{digits}f} {figure.unit}".strip()


def _steps(kind: str, steps: list[Step]) -> Table:
    title = f"Where one traced run goes, {kind} (means)"
    table = Table("step", title=title, title_justify="left")
    table.add_column("ms", justify="right")
    table.add_column("times", justify="right")
    timed = [step for step in steps if not step.name.startswith("counted")]
    until_heard = [step for step in timed if not step.name.startswith("afterwards")]
    for step in timed:
        table.add_row(step.name, f"{step.milliseconds:.2f}", f"{step.times:g}")
    table.add_section()
    table.add_row("submit to result", f"{sum(s.milliseconds for s in until_heard):.2f}", "")
    for step in steps[len(timed) :]:
        table.add_row(step.name.removeprefix("counted: "), "", f"{step.times:g}")
    return table
