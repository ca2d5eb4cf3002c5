"""One GET of a public URL: resolved once, connected to the very address that was checked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import httpx2

from agents.runtime.tools.addresses import Refused, Target, redirected, target_of
from agents.runtime.tools.connecting import Asking, Connector, FetchFailed

MOST_REDIRECTS = 5
_HEADERS = {
    "user-agent": "Signalbox-WebFetch",
    "accept": "text/html, text/plain, application/json, text/*, */*;q=0.1",
    "accept-encoding": "gzip, deflate",
}
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer; `is_cut` says that its body went on after `body`."""

    url: str
    status: int
    content_type: str
    body: bytes
    is_cut: bool


@dataclass(frozen=True)
class Fetcher(Connector):
    """How fetching is done: within which time, and how much of a body is kept."""

    seconds: float = 30.0
    most_bytes: int = 2 * 1024**2

    async def fetch(self, url: str) -> Fetched:
        """Follow the URL to its answer, every step checked. Raises `Refused`, `FetchFailed`."""
        try:
            # One clock for all steps: what drips slowly would reset a timeout of reads.
            async with asyncio.timeout(self.seconds):
                return await self._follow(target_of(url))
        except TimeoutError as error:
            raise FetchFailed(f"{url} did not answer within {self.seconds:g} s.") from error

    async def _follow(self, target: Target) -> Fetched:
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._ask(target)
            if isinstance(answer, Fetched):
                return answer
            target = answer
        raise FetchFailed(f"More than {MOST_REDIRECTS} redirects, the last to {target.url}.")

    async def _ask(self, target: Target) -> Fetched | Target:
        """The answer, or where it redirects to."""
        return await self.ask(target, Asking("GET", _HEADERS), partial(self._answer, target=target))

    async def _answer(self, response: httpx2.Response, target: Target) -> Fetched | Target:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            return redirected(target, response.headers["location"])
        return await self._read(response, target)

    async def _read(self, response: httpx2.Response, target: Target) -> Fetched:
        body, is_cut = bytearray(), False
        async with aclosing(self._pieces(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > self.most_bytes:
                    is_cut = True
                    break
        kind = response.headers.get("content-type", "")
        return Fetched(
            target.url, response.status_code, kind, bytes(body[: self.most_bytes]), is_cut
        )

    async def _pieces(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The body without its compression; no piece is longer than what may be kept at all."""
        inflate = _inflating(response.headers.get("content-encoding", ""))
        taken = 0
        async with aclosing(response.aiter_raw()) as raw:
            async for piece in raw:
                yield inflate(piece, self.most_bytes + 1)
                taken += len(piece)
                if taken > 2 * self.most_bytes:  # What is packed may unpack to nothing, for ever.
                    raise FetchFailed("The answer is longer packed than unpacked.")


def _inflating(encoding: str) -> Callable[[bytes, int], bytes]:
    """What undoes a compression up to a length: a bomb is never unpacked further than that.

    What is left over is dropped, as the body is cut there. Raises `FetchFailed`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda piece, most: piece
    if name not in ("gzip", "x-gzip", "deflate"):
        raise FetchFailed(f"The answer is compressed in a way that was not asked for: {name!r}.")
    # 32: the header says whether it is gzip or zlib.
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def inflate(piece: bytes, most: int) -> bytes:
        try:
            return unpacking.decompress(piece, most)
        except zlib.error as error:
            raise FetchFailed(f"The answer cannot be unpacked: {error}.") from error

    return inflate


__all__ = ["FetchFailed", "Fetched", "Fetcher", "Refused"]
