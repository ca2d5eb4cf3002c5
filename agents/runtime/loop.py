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

from agents.runtime import compaction
from agents.runtime.facts import (
    AskModel,
    Compact,
    Concluding,
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
    TooLong,
    ToolResult,
    TurnEnded,
    Unfit,
)
from agents.runtime.limits import Spent, reached
from agents.runtime.spec import RunSpec
from agents.runtime.transcript import REJECTION, Transcript, in_order

OUTPUT_TRIES = 2

Answer = Reply | ToolResult | Spent | TooLong | bool | None
Run = Generator[Fact, Answer, None]


def decide(
    spec: RunSpec, transcript: Transcript, tools: Sequence[ToolDescription], spent: Spent
) -> Run:
    """Ask the model, run what it asks for, and repeat until it answers without a call.

    Answers expected: `Reply` for `AskModel` and `Compact` (None where a message has interrupted
    it, `TooLong` where the first is refused for its length), `ToolResult` for `RunTool`, the
    current `Spent` for `TurnEnded`, for `Concluding` whether people have said something, None for
    the rest. It ends after `Finished`, `Unfit` or `LimitReached`.
    """
    was_refused = False
    while True:
        yield from _run_open_requests(transcript)
        if transcript.reply is not None:
            if (yield Concluding()):
                spent = yield from _end_turn(transcript, spent)
            elif (yield from _conclude(spec, transcript)):
                return
        reason = reached(spent)
        if reason:
            yield LimitReached(reason)
            return
        request = _request(spec, transcript, tools)
        kept = _count_kept(spec, transcript, request, was_refused=was_refused)
        if kept:
            yield from _compact(spec, transcript, kept)
            was_refused = False
            continue
        reply = yield AskModel(request, may_be_shorter=not was_refused)
        if not isinstance(reply, Reply):
            was_refused = isinstance(reply, TooLong)
            _learn(spec, transcript, request, reply)
            continue
        transcript.turn = request.turn
        _learn(spec, transcript, request, reply)
        transcript.add(reply.as_message())
        spent = replace(spent, turns=transcript.turn, usage=spent.usage + reply.usage)
        if reply.tool_requests:
            yield from _run_open_requests(transcript)
            spent = yield from _end_turn(transcript, spent)


def _end_turn(transcript: Transcript, spent: Spent) -> Generator[Fact, Answer, Spent]:
    """What has been spent by now, a pause or a deadline having been looked at."""
    told = yield TurnEnded(transcript.turn)
    return told if isinstance(told, Spent) else spent


def _request(
    spec: RunSpec, transcript: Transcript, tools: Sequence[ToolDescription]
) -> ModelRequest:
    """The next turn's request."""
    return ModelRequest(
        turn=transcript.turn + 1,
        system=spec.soul,
        messages=compaction.with_short_results(
            in_order(transcript.messages),
            spec.model_settings.context_tokens,
            transcript.characters_a_token,
        ),
        tools=tuple(tools),
    )


def _count_kept(
    spec: RunSpec, transcript: Transcript, request: ModelRequest, *, was_refused: bool
) -> int:
    """How many of the newest messages a compaction would keep; 0 where none is due or possible."""
    window = spec.model_settings.context_tokens
    characters_a_token = transcript.characters_a_token
    if not was_refused and not compaction.is_too_long(
        request, window, characters_a_token=characters_a_token
    ):
        return 0
    return compaction.count_kept(request.messages, window, characters_a_token)


def _compact(spec: RunSpec, transcript: Transcript, kept: int) -> Run:
    messages = in_order(transcript.messages)
    request = compaction.request_for(
        messages, kept, spec.model_settings.context_tokens, transcript.characters_a_token
    )
    summary = yield Compact(replace(request, turn=transcript.turn), kept)
    if isinstance(summary, Reply):
        transcript.shorten(summary.text, kept)


def _learn(spec: RunSpec, transcript: Transcript, request: ModelRequest, answer: Answer) -> None:
    """Learn from what the model counted, or refused, how long its tokens are here."""
    known = transcript.characters_a_token
    if isinstance(answer, Reply):
        transcript.characters_a_token = compaction.counted(request, answer.usage) or known
    elif isinstance(answer, TooLong):
        window = spec.model_settings.context_tokens
        transcript.characters_a_token = compaction.refused(
            request, window, characters_a_token=known
        )


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
    note = f"{REJECTION} {problem} Answer again with the corrected JSON object alone."
    transcript.add(Message(Role.USER, note))
    yield Inject(note)
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
