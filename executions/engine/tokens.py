"""Tokens: the pieces of a reply, gathered while a thread waits for it, and published together."""

from __future__ import annotations

import queue
import time
from typing import Any, Self
from uuid import UUID

from agents.runtime.llm import Delta
from agents.runtime.redaction import Redactor, Stream
from executions.stream import publish_tokens

COALESCE_SECONDS = 0.05


class Tokens:
    """Takes deltas on the model's loop and publishes them from the thread that waits.

    It costs nothing while no token comes: the thread sleeps until a delta or the end. What may be
    the beginning of a secret waits for what follows it.
    """

    def __init__(self, execution_id: UUID, turn: int, redactor: Redactor) -> None:
        self._execution_id = execution_id
        self._turn = turn
        self._attempt = 1
        self._redactor = redactor
        self._texts: dict[str, Stream] = {}
        self._pieces: queue.SimpleQueue[Delta | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pieces = queue.SimpleQueue()

    def on_delta(self, delta: Delta) -> None:
        """Called on the loop; never blocks."""
        self._pieces.put(delta)

    def end(self, _future: Any) -> None:
        """Called when the reply is there, failed or was cancelled."""
        self._pieces.put(None)

    def publish_until_end(self) -> None:
        """Block until `end`, publishing what came in pieces of about 50 ms."""
        while (first := self._pieces.get()) is not None:
            gathered, is_over = self._gather(first)
            for kind, text in _joined(gathered):
                self._show(kind, text)
            if is_over:
                break
        self._show_what_is_left()

    def start_anew(self) -> None:
        """Say that what was published of this reply will not go on."""
        self._show("reset", "")

    def _show(self, kind: str, text: str) -> None:
        if kind == "reset":
            self._texts.clear()  # What was held back of the broken try.
            self._publish(kind, "")
            return
        if kind not in self._texts:
            self._texts[kind] = self._redactor.stream()
        if shown := self._texts[kind].feed(text):
            self._publish(kind, shown)

    def _show_what_is_left(self) -> None:
        for kind, text in self._texts.items():
            if shown := text.flush():
                self._publish(kind, shown)
        self._texts.clear()

    def _publish(self, kind: str, text: str) -> None:
        publish_tokens(self._execution_id, kind, text, self._turn, attempt=self._attempt)
        if kind == "reset":
            self._attempt += 1

    def _gather(self, first: Delta) -> tuple[list[Delta], bool]:
        gathered, deadline = [first], time.monotonic() + COALESCE_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                piece = self._pieces.get(timeout=left)
            except queue.Empty:
                break
            if piece is None:
                return gathered, True
            gathered.append(piece)
        return gathered, False


def _joined(deltas: list[Delta]) -> list[tuple[str, str]]:
    """Neighbours of one kind as one piece, in order."""
    joined: list[tuple[str, str]] = []
    for delta in deltas:
        if joined and joined[-1][0] == delta.kind != "reset":
            joined[-1] = (delta.kind, joined[-1][1] + delta.text)
        else:
            joined.append((delta.kind, delta.text))
    return joined


class Pieces:
    """What an agent's own code streams, published together in pieces of about 50 ms."""

    def __init__(self, execution_id: UUID, redactor: Redactor) -> None:
        self._execution_id = execution_id
        self._text, self._turn = "", 0
        self._clean = redactor.stream()
        self._published_at = float("-inf")

    def add(self, text: str, turn: int) -> None:
        """Add a piece; it is published with those that come within a moment."""
        self._text, self._turn = self._text + self._clean.feed(text), turn
        if time.monotonic() - self._published_at >= COALESCE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publish what is there; what may be the beginning of a secret waits for the rest."""
        if self._text:
            publish_tokens(self._execution_id, "text", self._text, self._turn)
            self._text, self._published_at = "", time.monotonic()

    def end(self) -> None:
        """Publish all that is left: the text is over."""
        self._text += self._clean.flush()
        self.flush()
