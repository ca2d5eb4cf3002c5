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


class Transcript:
    """Prints a run: tokens as they come, tools with their output, its end and its diff."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_mid_reply = False
        self._printers: dict[str, Callable[[Event], None]] = {
            "execution.started": lambda _: self._note("started on a worker"),
            "execution.resumed": lambda _: self._note("resumed on a worker"),
            "execution.recovered": lambda _: self._note("its worker was lost; it is recovered"),
            "execution.paused": self._explain,
            "execution.waiting": self._explain,
            "execution.turn": self._turn,
            "tool.started": self._tool_started,
            "tool.finished": self._tool_finished,
            "tool.denied": self._tool_finished,
            "tool.interrupted": self._tool_finished,
        }

    def show(self, execution: Execution) -> Execution:
        """Print until the execution has ended; returns it as it is then."""
        for item in follow(execution.id):
            if isinstance(item, Token):
                self._token(item)
            elif printer := self._printers.get(item.type):
                printer(item)
        execution.refresh_from_db()
        self._end(execution)
        return execution

    def _note(self, text: str) -> None:
        self._console.print(f"[dim]· {escape(text)}[/dim]")

    def _explain(self, event: Event) -> None:
        """Say why it stands still, and what would change that."""
        execution = Execution.objects.get(pk=event.execution_id)
        for reason in reasons_of(standing(execution)):
            self._note(f"{reason.text} {reason.goes_on}".strip())

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

    def _tool_started(self, event: Event) -> None:
        call = self._call(event)
        given = json.dumps(call.arguments, ensure_ascii=False) if call else ""
        self._console.print(
            f"[cyan]▸ {event.data['name']}[/cyan] [dim]{escape(given[:200])}[/dim]", soft_wrap=True
        )

    def _tool_finished(self, event: Event) -> None:
        call = self._call(event)
        lines = call.output.strip("\n").splitlines() if call else []
        colour = "green" if event.data["outcome"] == "complete" else "red"
        for line in lines[:_OUTPUT_LINES]:
            self._console.print(
                f"  [{colour}]│[/{colour}] {escape(line)}", highlight=False, soft_wrap=True
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
            self._console.print(Syntax(execution.diff["patch"], "diff", background_color="default"))
        self._console.rule(style="dim")
        colour = "green" if execution.status == Status.COMPLETED else "red"
        turns = "1 turn" if execution.turn == 1 else f"{execution.turn} turns"
        self._console.print(
            f"[{colour}]{execution.status}[/{colour}] after {turns}, "
            f"{usage.get('input_tokens', 0)} tokens in and {usage.get('output_tokens', 0)} out"
        )
        if execution.failure_code:
            self._console.print(f"{execution.failure_code}: {escape(execution.failure_message)}")
