"""What a run is told and what it asks for: plain frozen values that know no storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL_RESULT = "tool_result"


class Outcome(StrEnum):
    """How a tool call ended; the same words as the ledger's."""

    COMPLETE = "complete"
    ERROR = "error"
    DENIED = "denied"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call as the model asked for it.

    `problem` says why the arguments cannot be used (malformed JSON, not an object); `arguments`
    is empty then, and the problem goes back to the model instead of a result.
    """

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """All of an output that is shown cut; `is_cut` where that was too much to be kept as well."""

    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told of one tool call; `output` is storable text (see `tools.text`).

    `whole` is all of it where it was cut, for people: no model is sent it.
    """

    call_id: str
    name: str
    outcome: Outcome
    output: str
    whole: Whole | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What model requests cost, in requests and tokens."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation in our own neutral form.

    `raw` keeps a reply as the model library serialises it (a JSON value), so that a provider's
    thinking or signatures survive the round trip; it is None for everything that we wrote.
    """

    role: Role
    content: str
    tool_requests: tuple[ToolRequest, ...] = ()
    call_id: str = ""
    tool_name: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model: text, tool calls, or both; `model` is the name that answered.

    `fell_back_from` are the models that should have, and could not.
    """

    text: str
    tool_requests: tuple[ToolRequest, ...] = ()
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    raw: Any = None
    fell_back_from: tuple[str, ...] = ()

    def as_message(self) -> Message:
        return Message(Role.ASSISTANT, self.text, tool_requests=self.tool_requests, raw=self.raw)


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as the model sees it; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything that one model call is given; `turn` counts from 1."""

    turn: int
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDescription, ...] = ()


# What the loop asks of whoever drives it.


@dataclass(frozen=True, slots=True)
class AskModel:
    """Make this request, keep its reply durably, and send the `Reply` back.

    `may_be_shorter`: where the model refuses its length, send `TooLong` back instead of failing.
    """

    request: ModelRequest
    may_be_shorter: bool = False


@dataclass(frozen=True, slots=True)
class TooLong:
    """The model refused the request for its length."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Have the older part of the conversation summed up by this request, and keep the summary.

    Send it back as the `Reply`. `kept` is how many of the newest messages stay as they are.
    """

    request: ModelRequest
    kept: int


@dataclass(frozen=True, slots=True)
class RunTool:
    """Carry out this call under the ledger, and send its `ToolResult` back.

    `last` marks the turn's last call, so that its result and the turn can be kept at once.
    """

    request: ToolRequest
    last: bool


@dataclass(frozen=True, slots=True)
class Inject:
    """Put this note into the conversation as a user message."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A boundary: every call of the turn has its result; look for cancel, pause and messages."""

    turn: int


@dataclass(frozen=True, slots=True)
class Concluding:
    """The last reply has no calls: what people were asked comes before it is taken as final.

    Send back whether they have said something since, which the transcript has then.
    """


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The run may not go on without a person: `reason` is `turn_limit` or `budget`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is done; `output` is text, or the object that the action's schema asks for."""

    output: Any


@dataclass(frozen=True, slots=True)
class Unfit:
    """The output does not fit the action's schema, and the tries are used up."""

    problem: str


Fact = (
    AskModel | Compact | RunTool | Inject | TurnEnded | Concluding | LimitReached | Finished | Unfit
)
