"""One request to a host whose addresses were checked: resolved once, connected to just those."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

import httpx2

from agents.runtime.tools.addresses import Target, require_public

T = TypeVar("T")

CONNECT_SECONDS = 5.0

Resolve = Callable[[str, int], Sequence[str]]
Dial = Callable[[str, int], tuple[str, int]]


class FetchFailed(Exception):
    """There is no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of a host, besides the path."""

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def straight(address: str, port: int) -> tuple[str, int]:
    """Dial what was checked."""
    return address, port


@cache
def _trusted() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


@dataclass(frozen=True)
class Connector:
    """How hosts are reached. What the first three take the place of, tests of the guard need: a
    resolver, the address to dial for one that was found public, and the authorities that are
    trusted. Addresses of `besides` are reached too.
    """

    resolve: Resolve = look_up
    dial: Dial = straight
    trusted: Callable[[], ssl.SSLContext] = _trusted
    besides: tuple[IPv4Network | IPv6Network, ...] = ()

    async def ask(
        self, target: Target, asking: Asking, read: Callable[[httpx2.Response], Awaitable[T]]
    ) -> T:
        """What `read` makes of the answer. Raises `Refused`, `FetchFailed`.

        The addresses are looked up once, and the next is tried where one takes no connection.
        """
        addresses = await self._addresses(target)
        require_public(addresses, target.host, self.besides)
        failure = ""
        for address in addresses:
            try:
                return await self._ask_at(address, target, asking, read)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = f"{address}: {error or type(error).__name__}"
            except httpx2.HTTPError as error:
                what = str(error) or type(error).__name__
                raise FetchFailed(f"{target.url} failed: {what}.") from error
        raise FetchFailed(f"{target.host} cannot be reached at {failure}.")

    async def _addresses(self, target: Target) -> list[str]:
        try:
            return list(await _in_thread(lambda: self.resolve(target.host, target.port)))
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"{target.host} cannot be found: {error}.") from error

    async def _ask_at(
        self,
        address: str,
        target: Target,
        asking: Asking,
        read: Callable[[httpx2.Response], Awaitable[T]],
    ) -> T:
        host, port = self.dial(address, target.port)
        url = httpx2.URL(
            scheme=target.scheme, host=host, port=port, raw_path=target.path.encode("ascii")
        )
        # The certificate is asked for, and checked, by the name; the connection knows the address.
        asked = {"sni_hostname": target.host, "timeout": {"connect": CONNECT_SECONDS}}
        request = httpx2.Request(
            asking.method,
            url,
            headers={**asking.headers, "host": target.authority},
            content=asking.body or None,
            extensions=asked,
        )
        # A transport and no client: no proxy, cookie, password or redirect of its own.
        async with httpx2.AsyncHTTPTransport(verify=self.trusted(), trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                return await read(response)
            finally:
                await response.aclose()


async def _in_thread(find: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Call it in a thread of its own: a resolver cannot be stopped, and those of the loop's pool
    are also what model clients look up their names in.
    """
    found: Future[Sequence[str]] = Future()

    def run() -> None:
        if not found.set_running_or_notify_cancel():
            return
        try:
            found.set_result(find())
        except BaseException as error:  # Whoever waits is told, whatever it was.
            found.set_exception(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    return await asyncio.wrap_future(found)
