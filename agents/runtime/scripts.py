"""What scripted models say: the turns, and the scripts that come with Signalbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.runtime.facts import Message, ModelRequest, Role
from agents.runtime.model_contract import MODEL_ERROR, ModelError


@dataclass(frozen=True, slots=True)
class Turn:
    """What a scripted model does in one turn: say something, call tools, or fail.

    `delay` is the seconds over which the words stream; `tokens` replaces the count of the reply's
    words; `fail` is the code of a ModelError raised instead of a reply.
    """

    say: str = ""
    tools: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    delay: float = 0.0
    tokens: int | None = None
    fail: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Turn:
        """Read `{"say", "tools": [{"name", "input"}], "delay", "tokens", "fail"}`, all optional.

        Raises ValueError, TypeError, KeyError or AttributeError for anything else.
        """
        tokens = value.get("tokens")
        return cls(
            say=str(value.get("say", "")),
            tools=tuple(
                (str(each["name"]), dict(each["input"])) for each in value.get("tools", ())
            ),
            delay=float(value.get("delay", 0)),
            tokens=None if tokens is None else int(tokens),
            fail=str(value.get("fail", "")),
        )


Script = Callable[[ModelRequest], Turn]


def turns_so_far(request: ModelRequest) -> int:
    """How many turns the conversation holds: the number of the turn to play, from 0."""
    return sum(message.role is Role.ASSISTANT for message in request.messages)


def find_turns(text: str) -> list[Turn] | None:
    """The turns of the first JSON object with a list `turns` anywhere in the text, or None.

    Raises ValueError when that object's turns cannot be read.
    """
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("turns"), list):
            return [_read_turn(number, each) for number, each in enumerate(value["turns"], start=1)]
        start = text.find("{", start + 1)
    return None


def _read_turn(number: int, value: Any) -> Turn:
    try:
        return Turn.from_json(value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"turn {number} of the script cannot be read: {error!r}") from error


def played_turn(text: str, number: int) -> Turn:
    """Turn `number` (from 0) of the script in the text, or a plain final answer.

    Raises ValueError when the text holds no script, or one that cannot be read.
    """
    turns = find_turns(text)
    if turns is None:
        raise ValueError('the first user message holds no JSON object with a list "turns"')
    if number < len(turns):
        return turns[number]
    return Turn(say=f"The script is played: {len(turns)} turns.")


def play(request: ModelRequest) -> Turn:
    """Play the script that the first user message holds."""
    try:
        return played_turn(_first_prompt(request), turns_so_far(request))
    except ValueError as error:
        raise ModelError(MODEL_ERROR, f"scripted:play: {error}") from error


def echo(request: ModelRequest) -> Turn:
    """Say what the user said last."""
    return Turn(say=next((each.content for each in reversed(_prompts(request))), ""))


def _first_prompt(request: ModelRequest) -> str:
    return next((each.content for each in _prompts(request)), "")


def _prompts(request: ModelRequest) -> list[Message]:
    return [message for message in request.messages if message.role is Role.USER]


_TEST_COMMAND = "python3 -m unittest -q"
_TEST = ("Bash", {"command": _TEST_COMMAND})
_REFUSED = (
    ("WebFetch", {"url": "http://127.0.0.1:8000/"}),
    ("Bash", {"command": "git push origin HEAD"}),
)
_READ = ("Read", {"path": "greeting.py"})
_QUESTION = re.compile(r"\bwhat\b.{0,60}\bdo(es)?\b", re.IGNORECASE)
_README = "# Greetings\n\nRun the test with `python3 -m unittest -q`.\n"


def _plan(*statuses: str) -> tuple[str, Mapping[str, Any]]:
    contents = ("Find the mistake", "Correct it, and run the test", "Remove what was left behind")
    both = zip(contents, statuses, strict=True)
    todos = [{"content": content, "status": status} for content, status in both]
    return "TodoWrite", {"todos": todos}


_DEMO_TURNS = (
    Turn(
        say="I am scripted:demo, a scripted model: my words are fixed and I do not think. "
        "The tools, the files and the test are real. First I read greeting.py.",
        tools=(_plan("in_progress", "pending", "pending"), _READ),
        delay=0.8,
    ),
    Turn(say="Next I run its test, which should fail.", tools=(_TEST,), delay=0.4),
    Turn(
        say='The greeting says "Helo". I correct the spelling.',
        tools=(
            (
                "Edit",
                {"path": "greeting.py", "old_string": "Helo", "new_string": "Hello"},
            ),
        ),
        delay=0.4,
    ),
    Turn(say="Now I run the test again.", tools=(_TEST,), delay=0.4),
    Turn(
        say="Now two calls that are refused, to show how: WebFetch reads public pages and nothing "
        "inside, and a hook of mine leaves pushing to people.",
        tools=_REFUSED,
        delay=0.4,
    ),
    Turn(
        say="I remove what was left behind, for which a person has to say yes.",
        tools=(("Bash", {"command": "rm greeting.py.orig"}),),
        delay=0.4,
    ),
    Turn(
        say="I note for the board how its test is run.",
        tools=(
            _plan("completed", "completed", "completed"),
            (
                "agent_board_memory_record",
                {"content": f"The test is run with {_TEST_COMMAND}.", "tags": ["tests"]},
            ),
        ),
        delay=0.4,
    ),
)
_DEMO_REWORK = (
    Turn(
        say="I am asked for more: I write down how the test is run.",
        tools=(("Write", {"path": "README.md", "content": _README}),),
        delay=0.4,
    ),
    Turn(say="README.md says now how the test is run.", delay=0.4),
)


def demo(request: ModelRequest) -> Turn:
    """Correct the demonstration's misspelt greeting, quote the test's real output, and rework.

    Whoever asks what something does is shown greeting.py instead.
    """
    number = turns_so_far(request)
    if _QUESTION.search(_first_prompt(request)):
        return _answer(request, number)
    if number < len(_DEMO_TURNS):
        return _DEMO_TURNS[number]
    if number == len(_DEMO_TURNS):
        return Turn(say=_on_test(_last_output(request)), delay=0.8)
    rework = number - len(_DEMO_TURNS) - 1
    if rework < len(_DEMO_REWORK):
        return _DEMO_REWORK[rework]
    return Turn(say=_on_feedback(request), delay=0.4)


def _answer(request: ModelRequest, number: int) -> Turn:
    if number == 0:
        return Turn(say="I read greeting.py.", tools=(_READ,), delay=0.2)
    if number > 1:
        return Turn(say=_on_feedback(request), delay=0.2)
    read = next((each.content for each in reversed(request.messages) if each.call_id), "")
    return Turn(
        say="I am scripted:demo, a scripted model, and do not think. greeting.py greets people by "
        f"their name, as you can read in it:\n\n```\n{read.strip()}\n```",
        delay=0.4,
    )


def _on_test(output: str) -> str:
    passed = "OK" in output.splitlines()
    verdict = (
        'I corrected "Helo" to "Hello" in greeting.py, and its test passes now.'
        if passed
        else "I tried to correct greeting.py, but its test does not pass."
    )
    return f"{verdict} The test said:\n\n```\n{output.strip()}\n```"


def _on_feedback(request: ModelRequest) -> str:
    heard = next((each.content for each in reversed(_prompts(request))), "")
    return f"I am scripted and cannot act on feedback, so I changed nothing more. I heard: {heard}"


def _last_output(request: ModelRequest) -> str:
    """What the test said last."""
    tests = {
        call.call_id
        for message in request.messages
        for call in message.tool_requests
        if (call.name, call.arguments.get("command")) == ("Bash", _TEST_COMMAND)
    }
    results = [each.content for each in request.messages if each.call_id in tests]
    return results[-1] if results else "(nothing: the test has not run)"
