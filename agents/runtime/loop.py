"""The loop of model and tools, as a generator that decides and never does.

`decide` yields what has to happen and is sent what came of it. It holds no connection, no thread
and no storage, so that whoever drives it can commit between a reply and its tools, and a run
resumes by calling it again with the transcript so far.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import jsonschema

from agents.runtime.facts import (
    AskModel,
    Fact,
    Finished,
    Inject,
    LimitReached,
    Message,
    ModelRequest,
    Reply,
    Role,
    RunTool,
    ToolDescription,
    ToolRequest,
    ToolResult,
    TurnEnded,
    Unfit,
)
from agents.runtime.limits import Spent, reached, warning
from agents.runtime.spec import RunSpec

OUTPUT_TRIES = 2
OUTPUT_INVALID = "output_invalid"
TURN_WARNING = "turn_warning"

Answer = Reply | ToolResult | Spent | None
Run = Generator[Fact, Answer, None]


class Transcript:
    """The conversation so far, and what of it is still open."""

    def __init__(self, messages: Sequence[Message], *, turn: int) -> None:
        self.messages = list(messages)
        self.turn = turn

    def add(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def reply(self) -> Message | None:
        """The last message when it is a reply without tool calls: a final answer."""
        last = self.messages[-1] if self.messages else None
        if last is None or last.role is not Role.ASSISTANT or last.tool_requests:
            return None
        return last

    def open_requests(self) -> list[ToolRequest]:
        """The calls of the last reply that have no result yet, in the order asked."""
        answered: set[str] = set()
        for message in reversed(self.messages):
            if message.role is Role.TOOL_RESULT:
                answered.add(message.call_id)
            elif message.role is Role.ASSISTANT:
                return [r for r in message.tool_requests if r.call_id not in answered]
        return []

    def count_rejections(self) -> int:
        """How often the output was sent back, in a row, up to now."""
        return sum(
            1
            for message in self.messages
            if message.role is Role.USER and message.content.startswith(_REJECTION)
        )


_REJECTION = "Your answer does not fit the required output."


def decide(
    spec: RunSpec, transcript: Transcript, tools: Sequence[ToolDescription], spent: Spent
) -> Run:
    """Ask the model, run what it asks for, and repeat until it answers without a call.

    Answers expected: `Reply` for `AskModel` (None where a message has interrupted it),
    `ToolResult` for `RunTool`, the current `Spent` for `TurnEnded`, None for the rest. It ends
    after `Finished`, `Unfit` or `LimitReached`.
    """
    while True:
        yield from _run_open_requests(transcript)
        if transcript.reply is not None:
            ended = yield from _conclude(spec, transcript)
            if ended:
                return
        note = warning(transcript.turn, spent.limits.turns)
        if note and transcript.messages[-1].role is not Role.USER:
            transcript.add(Message(Role.USER, note))
            yield Inject(note, TURN_WARNING)
        reason = reached(spent)
        if reason:
            yield LimitReached(reason)
            return
        transcript.turn += 1
        reply = yield AskModel(_request(spec, transcript, tools))
        if reply is None:
            transcript.turn -= 1
            continue
        assert isinstance(reply, Reply)
        transcript.add(reply.as_message())
        spent = replace(spent, turns=transcript.turn, usage=spent.usage + reply.usage)
        if reply.tool_requests:
            yield from _run_open_requests(transcript)
            told = yield TurnEnded(transcript.turn)
            spent = told if isinstance(told, Spent) else spent


def _request(
    spec: RunSpec, transcript: Transcript, tools: Sequence[ToolDescription]
) -> ModelRequest:
    return ModelRequest(
        turn=transcript.turn,
        system=spec.soul,
        messages=in_order(transcript.messages),
        tools=tuple(tools),
    )


def in_order(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with results right behind their calls, as every provider demands.

    What a person said in the middle of a turn comes after the turn's last result.
    """
    ordered: list[Message] = []
    held: list[Message] = []
    missing: set[str] = set()
    for message in messages:
        if message.role is Role.USER and missing:
            held.append(message)
            continue
        ordered.append(message)
        if message.role is Role.ASSISTANT:
            missing = {request.call_id for request in message.tool_requests}
        missing.discard(message.call_id)
        if not missing:
            ordered += held
            held = []
    return (*ordered, *held)


def _run_open_requests(transcript: Transcript) -> Run:
    requests = transcript.open_requests()
    for index, request in enumerate(requests):
        result = yield RunTool(request, last=index == len(requests) - 1)
        assert isinstance(result, ToolResult)
        transcript.add(
            Message(Role.TOOL_RESULT, result.output, call_id=result.call_id, tool_name=result.name)
        )


def _conclude(spec: RunSpec, transcript: Transcript) -> Generator[Fact, Answer, bool]:
    """Whether the run ended with the final answer that the transcript holds."""
    assert transcript.reply is not None
    output, problem = fit(transcript.reply.content, spec.output_schema)
    if not problem:
        yield Finished(output)
        return True
    if transcript.count_rejections() >= OUTPUT_TRIES:
        yield Unfit(problem)
        return True
    note = f"{_REJECTION} {problem} Answer again with the corrected JSON object alone."
    transcript.add(Message(Role.USER, note))
    yield Inject(note, OUTPUT_INVALID)
    return False


def fit(text: str, schema: Any) -> tuple[Any, str]:
    """The output that `text` holds under a JSON Schema, or what keeps it from fitting.

    Without a schema the text itself is the output. Returns `(output, "")` or `(None, problem)`.
    """
    if schema is None:
        return text, ""
    try:
        value = json.loads(_bare(text))
    except ValueError as error:
        return None, f"It is not JSON: {error}."
    validator = jsonschema.Draft202012Validator(schema)
    problems = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(value)]
    return (None, "; ".join(problems) + ".") if problems else (value, "")


def _bare(text: str) -> str:
    """The text without the Markdown fence that models like to put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped
