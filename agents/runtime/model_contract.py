"""The contract between the loop and any model: how a reply is asked for and how asking fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from agents.runtime.facts import ModelRequest, Reply

MODEL_ERROR = "MODEL_ERROR"
# The code of a ModelError that a shorter request may not meet.
CONTEXT_TOO_LONG = "CONTEXT_TOO_LONG"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a reply while it streams.

    `reset` says that a broken try is thrown away: forget the pieces so far, the reply begins anew.
    """

    kind: Literal["text", "thinking", "reset"]
    text: str = ""


OnDelta = Callable[[Delta], None]


class Model(Protocol):
    """Anything that answers a request."""

    async def reply(self, request: ModelRequest, on_delta: OnDelta) -> Reply:
        """Ask once, with retries inside, and return the whole reply.

        `on_delta` is called on the portal's loop and must not block. Raises ModelError when no
        reply can be had, ModelBusy when the provider asks for a longer wait than is made in place.
        """
        ...  # pragma: no cover


class ModelError(Exception):
    """No reply can be had: the tries are used up, or trying again cannot help."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class ModelBusy(Exception):
    """The provider asks to come back after `retry_after` seconds; suspend instead of waiting."""

    def __init__(self, retry_after: float, message: str = "") -> None:
        super().__init__(message or f"The model's provider asks to wait {retry_after:g} s.")
        self.retry_after = retry_after


class UnknownModel(ValueError):
    """The name says no provider or model that we know; the message lists the valid forms."""
