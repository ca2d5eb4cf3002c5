"""The three wire protocols of model providers, as server-sent events of one prepared answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """What the local server answers to one request.

    `tools` are pairs of a name and its arguments; arguments given as text go out as they are,
    malformed or not. `delay` is the seconds before the first byte, `pause` those between events.
    `cut` ends the stream in the middle: by closing the connection, or politely.
    """

    text: str = ""
    thinking: str = ""
    tools: tuple[tuple[str, Mapping[str, Any] | str], ...] = ()
    call_ids: tuple[str, ...] = ()
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=lambda: {"message": "told to fail"})
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    pause: float = 0.0
    cut: Literal["", "abort", "polite"] = ""
    input_tokens: int = 10
    output_tokens: int = 5
    cached_tokens: int = 0

    def words(self) -> list[str]:
        words = self.text.split(" ") if self.text else []
        return [word if index == 0 else f" {word}" for index, word in enumerate(words)]

    def calls(self, number: int) -> Iterator[tuple[int, str, str, str]]:
        """Yield index, call id, tool name and arguments as text."""
        for index, (name, arguments) in enumerate(self.tools):
            given = index < len(self.call_ids)
            call_id = self.call_ids[index] if given else f"call_{number}_{index}"
            text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
            yield index, call_id, name, text


def halves(text: str) -> tuple[str, str]:
    """Two pieces, so that arguments arrive split."""
    return text[: len(text) // 2], text[len(text) // 2 :]


def named_event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


# OpenAI's chat completions


def chat_events(answer: Answer, model: str, number: int) -> Iterator[str]:
    if answer.thinking:
        yield _chunk(model, number, {"reasoning_content": answer.thinking})
    for word in answer.words():
        yield _chunk(model, number, {"role": "assistant", "content": word})
    for index, call_id, name, text in answer.calls(number):
        head, tail = halves(text)
        function = {"name": name, "arguments": head}
        call = {"index": index, "id": call_id, "type": "function", "function": function}
        yield _chunk(model, number, {"tool_calls": [call]})
        rest = {"index": index, "function": {"arguments": tail}}
        yield _chunk(model, number, {"tool_calls": [rest]})
    yield _chunk(model, number, {}, finish="tool_calls" if answer.tools else "stop")
    yield _chunk(model, number, None, usage=_chat_usage(answer))
    yield "data: [DONE]\n\n"


def _chunk(
    model: str,
    number: int,
    delta: Mapping[str, Any] | None,
    *,
    finish: str | None = None,
    usage: Mapping[str, Any] | None = None,
) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": choices,
        "usage": usage,
    }
    return f"data: {json.dumps(chunk)}\n\n"


def _chat_usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }


# OpenAI's responses


def responses_events(answer: Answer, model: str, number: int) -> Iterator[str]:
    response = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": model,
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    events = [("response.created", {"response": response})]
    events += _text_item(answer, number) if answer.text else []
    for call in answer.calls(number):
        events += _call_item(call, at=call[0] + bool(answer.text))
    usage = _responses_usage(answer)
    events.append(
        ("response.completed", {"response": {**response, "status": "completed", "usage": usage}})
    )
    for sequence, (kind, fields) in enumerate(events):
        yield named_event(kind, sequence_number=sequence, **fields)


def _text_item(answer: Answer, number: int) -> list[tuple[str, dict[str, Any]]]:
    item = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": []}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    deltas = [
        ("response.output_text.delta", {**place, "delta": word, "logprobs": []})
        for word in answer.words()
    ]
    return [
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**item, "status": "in_progress"}},
        ),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *deltas,
        ("response.output_text.done", {**place, "text": answer.text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        (
            "response.output_item.done",
            {"output_index": 0, "item": {**item, "status": "completed", "content": [part]}},
        ),
    ]


def _call_item(call: tuple[int, str, str, str], *, at: int) -> list[tuple[str, dict[str, Any]]]:
    _, call_id, name, text = call
    item = {"id": f"fc_{call_id}_{at}", "type": "function_call", "call_id": call_id, "name": name}
    place = {"item_id": item["id"], "output_index": at}
    started = {**item, "arguments": "", "status": "in_progress"}
    return [
        ("response.output_item.added", {"output_index": at, "item": started}),
        *(
            ("response.function_call_arguments.delta", {**place, "delta": piece})
            for piece in halves(text)
        ),
        ("response.function_call_arguments.done", {**place, "name": name, "arguments": text}),
        (
            "response.output_item.done",
            {"output_index": at, "item": {**item, "arguments": text, "status": "completed"}},
        ),
    ]


def _responses_usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


# Anthropic's messages


def anthropic_events(answer: Answer, model: str, number: int) -> Iterator[str]:
    message: dict[str, Any] = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.input_tokens - answer.cached_tokens,
            "cache_read_input_tokens": answer.cached_tokens,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1,
        },
    }
    yield named_event("message_start", message=message)
    for index, (block, deltas) in enumerate(_blocks(answer, number)):
        yield named_event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield named_event("content_block_delta", index=index, delta=delta)
        yield named_event("content_block_stop", index=index)
    reason = "tool_use" if answer.tools else "end_turn"
    yield named_event(
        "message_delta",
        delta={"stop_reason": reason, "stop_sequence": None},
        usage={"output_tokens": answer.output_tokens},
    )
    yield named_event("message_stop")


def _blocks(answer: Answer, number: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if answer.thinking:
        deltas = [{"type": "thinking_delta", "thinking": answer.thinking}]
        deltas.append({"type": "signature_delta", "signature": "signed-thought"})
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if answer.text:
        block = {"type": "text", "text": ""}
        yield block, [{"type": "text_delta", "text": word} for word in answer.words()]
    for _, call_id, name, text in answer.calls(number):
        call: dict[str, Any] = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        pieces = [{"type": "input_json_delta", "partial_json": each} for each in halves(text)]
        yield call, pieces
