"""A crowd of readers in a process of its own: holds many streams, leaves and comes back at random.

It is given lines of JSON: first the address, the key, the paths and how often a reader leaves; it
prints one line when all of them are open, and what it found once each stream has ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

# At once, while the crowd comes in.
_DOORS = 40


@dataclass
class Found:
    """What all readers found: seconds from publish to reader, and what was wrong."""

    events: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    reconnects: int = 0
    reloads: int = 0
    failures: int = 0
    last: dict[str, list[int]] = field(default_factory=dict)


class Crowd:
    """The readers and what they found."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._found = Found()
        self._chance = random.Random(7)  # noqa: S311  The same crowd each time.
        self._doors = asyncio.Semaphore(_DOORS)
        self._inside = asyncio.Event()
        self._missing = len(order["paths"])

    async def stay(self) -> Found:
        """Read every stream to its end."""
        async with asyncio.TaskGroup() as readers:
            for path in self._order["paths"]:
                readers.create_task(self._read(path))
            await self._inside.wait()
            _say("open")
        return self._found

    async def _read(self, path: str) -> None:
        seq, is_first = 0, True
        while True:
            leaves_at = time.monotonic() + self._chance.expovariate(1 / self._order["stay"])
            async with self._doors:
                reader, writer = await self._connect(path, seq)
            if is_first:
                is_first = False
                self._missing -= 1
                if not self._missing:
                    self._inside.set()
            async for name, shown in _events(reader):
                if name == "end":
                    self._found.last.setdefault(path, []).append(seq)
                    writer.close()
                    return
                seq = self._note(name, shown, seq)
                if time.monotonic() > leaves_at and self._inside.is_set():
                    break
            writer.transport.abort()
            self._found.reconnects += 1

    async def _connect(self, path: str, seq: int) -> tuple[asyncio.StreamReader, Any]:
        host, port = self._order["address"]
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {host}\r\nLast-Event-ID: {seq}\r\n"
                    f"Authorization: Bearer {self._order['key']}\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                # Up to the first place: the stream is open.
                await reader.readuntil(b": alive\n")
            except (OSError, EOFError):
                self._found.failures += 1
                await asyncio.sleep(0.1)
                continue
            assert b" 200 " in head, head
            return reader, writer

    def _note(self, name: str, shown: dict[str, Any], seq: int) -> int:
        now = time.time()
        if name == "token":
            self._found.tokens.append(now - float(shown["text"]))
        elif name == "reload":
            self._found.reloads += 1
        elif "seq" in shown:
            self._found.lost += max(0, shown["seq"] - seq - 1)
            self._found.doubled += shown["seq"] <= seq
            # What is read of the past says nothing about how fast it comes.
            if "at" in shown["data"] and now - shown["data"]["at"] < self._order["past"]:
                self._found.events.append(now - shown["data"]["at"])
            return max(seq, int(shown["seq"]))
        return seq


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The events of a chunked answer; `end` when it is over, nothing more when it broke off."""
    name = ""
    while line := await reader.readline():
        text = line.decode().strip()
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))
        elif text == "0":
            yield "end", {}
            return


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the order, be the crowd, print what it found."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = asyncio.run(Crowd(json.loads(sys.stdin.readline())).stay())
    _say(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
