"""Deterministic models that play a registered script, for demonstrations and tests."""

from __future__ import annotations

import asyncio
import json

from agents.runtime.facts import ModelRequest, Reply, ToolRequest, Usage
from agents.runtime.model_contract import Delta, ModelError, OnDelta, UnknownModel
from agents.runtime.scripts import Script, Turn, demo, echo, play, turns_so_far

__all__ = ["Script", "ScriptedModel", "Turn", "check_script", "open_script", "register_script"]

_scripts: dict[str, Script] = {"play": play, "echo": echo, "demo": demo}


def register_script(name: str, script: Script) -> None:
    """Make `scripted:NAME` play `script`. Raises ValueError for a name that is taken.

    A script is a function of the request alone: it keeps no state, so that an execution that
    resumes on another worker hears the same turn again.
    """
    if name in _scripts:
        raise ValueError(f"The script {name!r} is registered already.")
    _scripts[name] = script


def check_script(name: str) -> None:
    """Raise UnknownModel, naming the scripts there are, for a script that is not registered."""
    if name not in _scripts:
        known = ", ".join(f"scripted:{each}" for each in sorted(_scripts))
        raise UnknownModel(f"Unknown model 'scripted:{name}'. Valid scripts: {known}.")


def open_script(name: str) -> ScriptedModel:
    """Open `scripted:NAME`. Raises UnknownModel."""
    check_script(name)
    return ScriptedModel(name, _scripts[name])


class ScriptedModel:
    """A model that answers with what its script says, streamed word by word."""

    def __init__(self, name: str, script: Script) -> None:
        self._name = f"scripted:{name}"
        self._script = script

    async def reply(self, request: ModelRequest, on_delta: OnDelta) -> Reply:
        """See `Model.reply`; the usage counts words."""
        turn = self._script(request)
        await _speak(turn, on_delta)
        if turn.fail:
            raise ModelError(turn.fail, f"{self._name}: the script fails here with {turn.fail}.")
        spoken = turns_so_far(request)
        return Reply(
            text=turn.say,
            tool_requests=tuple(
                ToolRequest(f"call-{spoken}-{index}", name, arguments)
                for index, (name, arguments) in enumerate(turn.tools)
            ),
            usage=_usage(request, turn),
            model=self._name,
        )


async def _speak(turn: Turn, on_delta: OnDelta) -> None:
    words = turn.say.split(" ") if turn.say else []
    pause = turn.delay / max(1, len(words))
    if not words:
        await asyncio.sleep(turn.delay)
    for index, word in enumerate(words):
        if pause:
            await asyncio.sleep(pause)
        on_delta(Delta("text", word if index == 0 else f" {word}"))


def _usage(request: ModelRequest, turn: Turn) -> Usage:
    heard = len(request.system.split())
    heard += sum(len(message.content.split()) for message in request.messages)
    said = len(turn.say.split())
    said += sum(len(json.dumps(dict(arguments)).split()) for _, arguments in turn.tools)
    return Usage(1, heard, said if turn.tokens is None else turn.tokens)
