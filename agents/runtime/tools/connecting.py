"""Requests to hosts whose addresses were checked: resolved once, connected to just those."""

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
# To one address; what is asked beyond that waits for its turn.
MOST_CONNECTIONS = 100
_LIMITS = httpx2.Limits(
    max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS, keepalive_expiry=5
)

_BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)

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
        async with Kept(self) as kept:
            return await kept.ask(target, asking, read)

    def transport(self) -> httpx2.AsyncHTTPTransport:
        """A transport and no client: no proxy, cookie, password or redirect of its own."""
        return httpx2.AsyncHTTPTransport(verify=self.trusted(), trust_env=False, limits=_LIMITS)

    async def addresses_of(self, target: Target) -> list[str]:
        """Where the host is, every address of it checked. Raises `Refused`, `FetchFailed`."""
        try:
            found = await _in_thread(lambda: self.resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"{target.host} cannot be found: {error}.") from error
        addresses = list(found)
        require_public(addresses, target.host, self.besides)
        return addresses


class Kept:
    """Connections that are kept from one request to the next, until the end of an `async with`.

    The host of a URL is looked up once, however many ask at once, and connected to nothing but the
    addresses that were checked then. Belongs to one event loop.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        # By URL: a connection to one name is never used for another, since the certificate was
        # checked by the name; and what one receiver sends is no answer to what another is asked.
        self._ways: dict[str, asyncio.Task[list[_Way]]] = {}

    async def __aenter__(self) -> Kept:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; nothing may be asked any more."""
        looks = list(self._ways.values())
        self._ways.clear()
        for look in looks:
            look.cancel()
        for ways in await asyncio.gather(*looks, return_exceptions=True):
            if not isinstance(ways, BaseException):
                for way in ways:
                    await way.transport.aclose()

    async def ask(
        self, target: Target, asking: Asking, read: Callable[[httpx2.Response], Awaitable[T]]
    ) -> T:
        """The same as `Connector.ask`, on a connection that is there already if one is free."""
        ways = await self._ways_to(target)
        failure = ""
        for way in list(ways):
            try:
                return await way.ask(target, asking, read)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = f"{way.address}: {error or type(error).__name__}"
                # Who comes after tries it last.
                ways.remove(way)
                ways.append(way)
            except httpx2.HTTPError as error:
                what = str(error) or type(error).__name__
                raise FetchFailed(f"{target.url} failed: {what}.") from error
        raise FetchFailed(f"{target.host} cannot be reached at {failure}.")

    async def _ways_to(self, target: Target) -> list[_Way]:
        look = self._ways.get(target.url)
        if look is None:
            look = self._ways[target.url] = asyncio.create_task(self._look_for(target))
        # Who gives up waiting takes the look away from nobody else.
        return await asyncio.shield(look)

    async def _look_for(self, target: Target) -> list[_Way]:
        connector = self._connector
        return [
            _Way(address, connector, connector.transport())
            for address in await connector.addresses_of(target)
        ]


@dataclass(eq=False, slots=True)
class _Way:
    """One address of a host, and the connections to it."""

    address: str
    connector: Connector
    transport: httpx2.AsyncHTTPTransport
    has_answered: bool = False

    async def ask(
        self, target: Target, asking: Asking, read: Callable[[httpx2.Response], Awaitable[T]]
    ) -> T:
        """Ask on a connection that is kept, and once more on another where that one has broken.

        A server may close one at the very moment when it is asked again.
        """
        was_kept = self.has_answered
        try:
            return await self._ask_over(self.transport, target, asking, read)
        except _BROKEN:
            if not was_kept:
                raise
        async with self.connector.transport() as another:
            return await self._ask_over(another, target, asking, read)

    async def _ask_over(
        self,
        transport: httpx2.AsyncHTTPTransport,
        target: Target,
        asking: Asking,
        read: Callable[[httpx2.Response], Awaitable[T]],
    ) -> T:
        host, port = self.connector.dial(self.address, target.port)
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
        response = await transport.handle_async_request(request)
        self.has_answered = True
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
