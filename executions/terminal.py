"""An execution's transcript in a terminal, as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from executions.explanation import reasons_of
from executions.models import Event, Execution, Status, ToolCall
from executions.standing import standing
from executions.stream import Token, follow

_OUTPUT_LINES = 12
_LINE = 200  # Characters of a line of output, and of what a tool is given.
# What these are given stands in their output again.
_TOLD_BY_OUTPUT = frozenset({"TodoWrite"})


class Transcript:
    """Prints a run: tokens as they come, tools with their output, its end and its diff."""

    def __init__(self, console: Console, *, tell: Callable[[Event], bool] | None = None) -> None:
        """`tell` is called with events that a person may have to decide on, once they are shown.

        It answers whether it has decided; else it is said what a person may do.
        """
        self._console = console
        self._tell = tell
        self._warnings: list[str] = []
        self._is_mid_reply = False
        self._printers: dict[str, Callable[[Event], None]] = {
            "execution.started": lambda _: self._note("started on a worker"),
            "execution.resumed": lambda _: self._note("resumed on a worker"),
            "execution.recovered": lambda _: self._note("its worker was lost; it is recovered"),
            "execution.paused": self._explain,
            "execution.waiting": self._explain,
            "agent.turn_warning": self._warn,
            "execution.turn": self._turn,
            "tool.started": self._tool_started,
            "tool.finished": self._tool_finished,
            "tool.denied": self._tool_denied,
            "tool.interrupted": self._tool_finished,
        }

    def show(self, execution: Execution) -> Execution:
        """Print until the execution has ended; returns it as it is then."""
        for item in follow(execution.id):
            if isinstance(item, Token):
                self._token(item)
                continue
            if item.type != "execution.turn" and not self._is_mid_reply:
                self._tell_warnings()
            if printer := self._printers.get(item.type):
                printer(item)
        execution.refresh_from_db()
        self._end(execution)
        return execution

    def _note(self, text: str) -> None:
        self._console.print(f"[dim]· {escape(text)}[/dim]", soft_wrap=True)

    def _explain(self, event: Event) -> None:
        """Say why it stands still, and what would change that, unless somebody changes it."""
        execution = Execution.objects.get(pk=event.execution_id)
        reasons = reasons_of(standing(execution))
        for reason in reasons:
            self._note(reason.text)
        if self._tell and self._tell(event):
            return
        for reason in reasons:
            if reason.goes_on:
                self._note(reason.goes_on)

    def _warn(self, event: Event) -> None:
        turn, most = event.data["turn"], event.data["max_turns"]
        # Where it is kept with the reply that it led to, whose words have come already, it is told
        # after that.
        used = f"{turn} of {most}" if event.data["limit"] == "turns" else "four fifths of its"
        self._warnings.append(f"warned: {used} {event.data['limit']} are used")

    def _token(self, token: Token) -> None:
        if token.kind == "text":
            self._is_mid_reply = True
            self._console.print(token.text, end="", markup=False, highlight=False)
        elif token.kind == "reset" and self._is_mid_reply:
            self._console.print()
            self._is_mid_reply = False
            self._note("the reply broke off; it begins anew")

    def _turn(self, event: Event) -> None:
        """The reply is kept: end its line, or print it when its tokens were not heard."""
        if self._is_mid_reply:
            self._console.print()
        elif event.data["text"]:
            self._console.print(event.data["text"], markup=False, highlight=False)
        self._is_mid_reply = False
        self._tell_warnings()

    def _tell_warnings(self) -> None:
        for warning in self._warnings:
            self._note(warning)
        self._warnings = []

    def _tool_started(self, event: Event) -> None:
        call = self._call(event)
        is_told = call is not None and call.name not in _TOLD_BY_OUTPUT
        given = json.dumps(call.arguments, ensure_ascii=False) if call and is_told else ""
        shown = f" [dim]{escape(_cut(given))}[/dim]" if given else ""
        self._console.print(f"[cyan]▸ {event.data['name']}[/cyan]{shown}", soft_wrap=True)

    def _tool_denied(self, event: Event) -> None:
        """A call that never started."""
        self._tool_started(event)
        self._tool_finished(event)

    def _tool_finished(self, event: Event) -> None:
        call = self._call(event)
        lines = call.output.strip("\n").splitlines() if call else []
        colour = "green" if event.data["outcome"] == "complete" else "red"
        for line in lines[:_OUTPUT_LINES]:
            self._console.print(
                f"  [{colour}]│[/{colour}] {escape(_cut(line))}", highlight=False, soft_wrap=True
            )
        if len(lines) > _OUTPUT_LINES:
            self._note(f"  … {len(lines) - _OUTPUT_LINES} more lines")

    def _call(self, event: Event) -> ToolCall | None:
        call_id: Any = event.data.get("call_id")
        calls = ToolCall.objects.filter(execution_id=event.execution_id, call_id=call_id)
        return calls.order_by("-reply_position").first()

    def _end(self, execution: Execution) -> None:
        usage = execution.usage
        if execution.diff:
            self._console.rule("diff", style="dim")
            patch = Syntax(execution.diff["patch"], "diff", background_color="default")
            self._console.print(patch, soft_wrap=True)  # Else long lines are cut at its width.
        self._console.rule(style="dim")
        colour = "green" if execution.status == Status.COMPLETED else "red"
        turns = "1 turn" if execution.turn == 1 else f"{execution.turn} turns"
        self._console.print(
            f"[{colour}]{execution.status}[/{colour}] after {turns}, "
            f"{usage.get('input_tokens', 0)} tokens in and {usage.get('output_tokens', 0)} out"
        )
        if execution.failure_code:
            self._console.print(f"{execution.failure_code}: {escape(execution.failure_message)}")


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"
