"""Translation between our neutral messages and those of pydantic-ai, both ways, without any I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_ai import messages as theirs
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from agents.runtime.facts import (
    Message,
    ModelRequest,
    Reply,
    Role,
    ToolDescription,
    ToolRequest,
    Usage,
)
from agents.runtime.model_contract import Delta
from agents.runtime.tools.text import storable

# What the ledger has room for; of an id, with what makes it unique.
_LONGEST_NAME = 200
_LONGEST_ID = 160


def to_parameters(tools: Sequence[ToolDescription]) -> ModelRequestParameters:
    """Offer these tools to the model."""
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=dict(tool.parameters),
            )
            for tool in tools
        ]
    )


def to_messages(request: ModelRequest) -> list[theirs.ModelMessage]:
    """Build the history: the system text once and first, then the conversation.

    User messages and tool results that follow one another go into one request message: Anthropic
    refuses tool results that are spread over several.
    """
    spoken = [message for message in request.messages if message.role is not Role.SYSTEM]
    history: list[theirs.ModelMessage] = []
    for from_model, group in groupby(spoken, lambda message: message.role is Role.ASSISTANT):
        if from_model:
            history += [reply for message in group if (reply := _response(message)).parts]
        else:
            history.append(theirs.ModelRequest(parts=[_request_part(each) for each in group]))
    system = _system_text(request)
    if system:
        _open_with(history, theirs.SystemPromptPart(system))
    return history


def to_reply(response: theirs.ModelResponse, request: ModelRequest, name: str) -> Reply:
    """Keep a whole answer in our form, with every text in it storable.

    Call ids that the conversation already used are made new, since some servers count them from
    zero in each answer, and the ledger tells calls apart by them.
    """
    calls = [part for part in response.parts if isinstance(part, theirs.ToolCallPart)]
    _make_ids_unique(calls, request)
    usage = response.usage
    return Reply(
        text="".join(
            storable(part.content) for part in response.parts if isinstance(part, theirs.TextPart)
        ),
        tool_requests=tuple(_tool_request(call) for call in calls),
        usage=Usage(1, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens),
        model=response.model_name or name,
        raw=_storable_json(theirs.ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]),
    )


def to_delta(event: theirs.ModelResponseStreamEvent) -> Delta | None:
    """Return the piece of text or thinking that a stream's event carries, if any."""
    match event:
        case theirs.PartStartEvent(part=theirs.TextPart(content=text)):
            return _delta("text", text)
        case theirs.PartStartEvent(part=theirs.ThinkingPart(content=text)):
            return _delta("thinking", text)
        case theirs.PartDeltaEvent(delta=theirs.TextPartDelta(content_delta=text)):
            return _delta("text", text)
        case theirs.PartDeltaEvent(delta=theirs.ThinkingPartDelta(content_delta=str(text))):
            return _delta("thinking", text)
    return None


def _storable_json(value: Any) -> Any:
    """The JSON value with every text in it storable, keys included."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(key): _storable_json(each) for key, each in value.items()}
        case list():
            return [_storable_json(each) for each in value]
    return value


def _delta(kind: Any, text: str) -> Delta | None:
    return Delta(kind, storable(text)) if text else None


def _system_text(request: ModelRequest) -> str:
    texts = [request.system]
    texts += [message.content for message in request.messages if message.role is Role.SYSTEM]
    return "\n\n".join(dict.fromkeys(text for text in texts if text))


def _open_with(history: list[theirs.ModelMessage], part: theirs.SystemPromptPart) -> None:
    first = history[0] if history else None
    if isinstance(first, theirs.ModelRequest):
        history[0] = theirs.ModelRequest(parts=[part, *first.parts])
    else:
        history.insert(0, theirs.ModelRequest(parts=[part]))


def _request_part(message: Message) -> theirs.ModelRequestPart:
    if message.role is Role.TOOL_RESULT:
        return theirs.ToolReturnPart(message.tool_name, message.content, message.call_id)
    return theirs.UserPromptPart(message.content)


def _response(message: Message) -> theirs.ModelResponse:
    """Prefer the library's own form, which keeps thinking and signatures."""
    return _from_raw(message.raw) or theirs.ModelResponse(parts=list(_neutral_parts(message)))


def _from_raw(raw: Any) -> theirs.ModelResponse | None:
    if raw is None:
        return None
    try:
        (message,) = theirs.ModelMessagesTypeAdapter.validate_python([raw])
    except ValidationError:
        # Another version of the library may have written it; the neutral form still says it all.
        return None
    return message if isinstance(message, theirs.ModelResponse) else None


def _neutral_parts(message: Message) -> Iterator[theirs.ModelResponsePart]:
    if message.content:
        yield theirs.TextPart(message.content)
    for call in message.tool_requests:
        yield theirs.ToolCallPart(call.name, dict(call.arguments), call.call_id)


def _make_ids_unique(calls: list[theirs.ToolCallPart], request: ModelRequest) -> None:
    taken = {call.call_id for message in request.messages for call in message.tool_requests}
    for number, call in enumerate(calls):
        call.tool_call_id = storable(call.tool_call_id)[:_LONGEST_ID]
        if call.tool_call_id in taken:
            call.tool_call_id = f"{call.tool_call_id}-{request.turn}-{number}"
        taken.add(call.tool_call_id)


def _tool_request(call: theirs.ToolCallPart) -> ToolRequest:
    name = storable(call.tool_name)[:_LONGEST_NAME]
    try:
        return ToolRequest(call.tool_call_id, name, _storable_json(_parsed(call.args)))
    except (ValueError, RecursionError) as error:
        # The next request carries this part again, and NaN in it would fail there.
        call.args = {theirs.INVALID_JSON_KEY: str(call.args)}
        problem = storable(f"The arguments are not a JSON object: {error}")
        return ToolRequest(call.tool_call_id, name, {}, problem)


def _parsed(args: str | dict[str, Any] | None) -> dict[str, Any]:
    """OpenAI sends a JSON string, Anthropic a dict; no arguments at all mean an empty object.

    Raises ValueError, or RecursionError for arguments that are nested too deep.
    """
    if not isinstance(args, str) or not args.strip():
        return args if isinstance(args, dict) else {}
    arguments = json.loads(args, parse_constant=_no_constant)
    if not isinstance(arguments, dict):
        raise ValueError(f"it is a {type(arguments).__name__}")
    return arguments


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
