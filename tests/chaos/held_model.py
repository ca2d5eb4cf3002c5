"""A model server that keeps chosen answers back until the test gives them free."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents.models import Agent, Organization
from tests.model_server import Asked, Events, ModelServer, Send
from tests.starting import an_agent


class HeldModel(ModelServer):
    """Plays scripts as `ModelServer` does; a held turn is asked for and not answered.

    Turns are numbered as executions number them, from 1. A `tag` is any text that stands in the
    prompts of one execution alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: set[tuple[str, int]] = set()

    def hold(self, tag: str, turn: int) -> None:
        """Keep this turn's answer back."""
        self._held.add((tag, turn))

    def give_free(self, tag: str = "") -> None:
        """Answer what was held back, to whoever still waits; with a tag, only what has it."""
        self._held = {each for each in self._held if tag not in each[0]}

    def asked(self, tag: str, turn: int) -> list[Asked]:
        """Every request for this turn, whoever sent it."""
        return [
            each
            for each in list(self.requests)
            if each.turn() == turn - 1 and tag in each.first_prompt()
        ]

    def is_waited_for(self, tag: str, turn: int) -> bool:
        """Whether someone waits for this turn's answer now."""
        return any(each.outcome == "open" for each in self.asked(tag, turn))

    def agent(self, organization: Organization | None = None, **fields: Any) -> Agent:
        """An agent that asks this server."""
        settings = {"base_url": self.openai_url}
        return an_agent(
            organization, model="openai-compatible:play", model_settings=settings, **fields
        )

    async def _answer(self, asked: Asked, events: Events, send: Send) -> None:
        while any(
            turn == asked.turn() + 1 and tag in asked.first_prompt() for tag, turn in self._held
        ):
            await asyncio.sleep(0.02)
        await super()._answer(asked, events, send)


def tagged(tag: str, *turns: dict[str, Any]) -> str:
    """A prompt that plays these turns, and is like no other."""
    return json.dumps({"tag": tag, "turns": list(turns)})
