"""Makes a conversation shorter that grows too long for its model: what is kept, what summarised.

The tree of entries keeps everything; only what the model is sent becomes shorter: the first
message, which says what is to be done, a summary of what lies between, and the newest messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.runtime.facts import Message, ModelRequest, Role, ToolDescription, Usage
from agents.runtime.spec import ModelSettings
from agents.runtime.tools.text import clip

# Of the window: when a conversation is too long, and how much of it what is kept may take.
FULL_AT = 0.8
KEPT = 0.4
# Before a model has counted the tokens of a conversation, as many characters are taken for one.
USUAL_CHARACTERS = 4.0
_FEWEST_CHARACTERS = 0.5
# Where nothing is known of the window, this much is kept of one that was refused.
_UNKNOWN_WINDOW = 16_000
_SHOWN_OF_A_RESULT = 2000

_SYSTEM = "You sum up the work of an agent, so that it can go on without what you sum up."
_ASK = """\
Below is the earlier part of a conversation between an agent, its tools and the people that it
works for. Sum it up for the agent itself: what it was asked and told, what it found out, what it
did and with what outcome, what it decided and why, and what is still to be done. Keep names, paths,
numbers and exact wording where they will be needed. Leave out what no longer matters. Answer with
the summary alone, in at most 1500 words.

"""
_LEAD = "What came before, summed up, since the conversation had grown too long:\n\n"


def length_of(request: ModelRequest) -> int:
    """The characters of all that a model is sent: what it is, the messages, the tools."""
    messages = sum(map(_length, request.messages))
    return len(request.system) + messages + sum(map(_length_of_tool, request.tools))


def is_too_long(request: ModelRequest, window: int | None, *, characters_a_token: float) -> bool:
    """Whether it has to be made shorter before the model is asked."""
    return window is not None and length_of(request) / characters_a_token > FULL_AT * window


def counted(request: ModelRequest, usage: Usage) -> float | None:
    """How many characters a token has, by what the model counted; None where it did not count."""
    length = length_of(request)
    if usage.input_tokens <= 0 or length == 0:
        return None
    return max(_FEWEST_CHARACTERS, length / usage.input_tokens)


def refused(request: ModelRequest, window: int | None, *, characters_a_token: float) -> float:
    """The same by a refusal: what was refused has more tokens than the window."""
    if window is None:
        return characters_a_token
    return max(_FEWEST_CHARACTERS, min(characters_a_token, length_of(request) / window))


def count_kept(messages: Sequence[Message], window: int | None, characters_a_token: float) -> int:
    """How many of the newest messages are kept as they are; 0 where nothing can be summed up.

    The first kept one is no result of a tool, so that no call is parted from what came of it. The
    very first message is kept in any case, and is not counted.
    """
    room = KEPT * (window or _UNKNOWN_WINDOW) * characters_a_token
    kept, used = 0, 0.0
    for number in range(len(messages) - 1, 0, -1):
        used += _length(messages[number])
        if used > room and kept:
            break
        if messages[number].role is not Role.TOOL_RESULT:
            kept = len(messages) - number
    # A summary of one message would be longer than it.
    return kept if len(messages) - 1 - kept > 1 else 0


def request_for(
    messages: Sequence[Message], kept: int, window: int | None, characters_a_token: float
) -> ModelRequest:
    """What the model is asked, so that it sums up all but the first and the `kept` newest."""
    older = messages[1 : len(messages) - kept]
    told = "\n\n".join(_told(message) for message in older)
    room = round(FULL_AT * (window or _UNKNOWN_WINDOW) * characters_a_token)
    text, _ = clip(told, room)
    return ModelRequest(turn=0, system=_SYSTEM, messages=(Message(Role.USER, _ASK + text),))


def settings_for_summary(settings: ModelSettings) -> ModelSettings:
    """How the model is asked for a summary: as ever, but for what might cut it.

    How long an answer may be, and how much of that is thought, was chosen for the agent's replies.
    Without a maximum OpenAI's models end by themselves; for Anthropic's, which must be told one,
    the library names the model's own, or 4,096 for old ones. Thinking counts towards it.
    """
    return replace(
        settings, max_tokens=None, thinking=False if settings.thinking is False else None
    )


def shortened(messages: Sequence[Message], summary: str, kept: int) -> list[Message]:
    """The conversation as the model is sent it from now on."""
    newest = messages[len(messages) - kept :]
    return [*messages[:1], Message(Role.USER, _LEAD + summary), *newest]


def with_short_results(
    messages: Sequence[Message], window: int | None, characters_a_token: float
) -> tuple[Message, ...]:
    """Results of tools that would fill a quarter of the window alone, cut for the model's eyes."""
    if window is None:
        return tuple(messages)
    most = round(window * characters_a_token / 4)
    return tuple(
        replace(message, content=clip(message.content, most)[0])
        if message.role is Role.TOOL_RESULT and len(message.content) > most
        else message
        for message in messages
    )


def _length(message: Message) -> int:
    asked = sum(len(each.name) + len(str(each.arguments)) for each in message.tool_requests)
    return len(message.content) + asked


def _length_of_tool(tool: ToolDescription) -> int:
    return len(tool.name) + len(tool.description) + len(str(tool.parameters))


def _told(message: Message) -> str:
    match message.role:
        case Role.ASSISTANT:
            calls = [f"(calls {each.name} {each.arguments})" for each in message.tool_requests]
            return "\n".join(["AGENT:", *filter(None, [message.content]), *calls])
        case Role.TOOL_RESULT:
            output, _ = clip(message.content, _SHOWN_OF_A_RESULT)
            return f"RESULT OF {message.tool_name}:\n{output}"
        case _:
            return f"TOLD TO THE AGENT:\n{message.content}"
