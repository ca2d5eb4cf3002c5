"""Says which URLs and which internet addresses may be fetched: public ones and no others."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urljoin, urlsplit

import idna

LONGEST_URL = 4000
# The web is served here; elsewhere databases, mail and the like would take a request for theirs.
PORTS = {"http": (80, 8000, 8080), "https": (443, 8443)}

# Written out rather than left to `is_global`, whose answers differ between versions of Python and
# which calls multicast global. RFC 6890 and its successors; the last is Azure's metadata service.
_NOT_PUBLIC = [
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
    )
]
# All of IPv6 that is public lies in one block, but for parts of it: Teredo and other protocols,
# documentation twice, and 6to4, which carries any IPv4 address.
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
# Hosts without IPv4 reach it by this prefix; the address is its last 32 bits (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")

_UNUSABLE = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)
# A host that ends like this is read as an IPv4 address by some, in octal, hex or one number.
_NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")


class Refused(Exception):
    """This may not be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked for, once its host's addresses are known to be public.

    `host` is an ASCII name or an address without brackets; `path` has the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def target_of(url: str, *, any_port: bool = False) -> Target:
    """What a URL asks for. Raises `Refused` where nothing public can be meant by it.

    Any port is for URLs that an administrator gives: what a model gives keeps to those of the web.
    """
    if len(url) > LONGEST_URL:
        raise Refused(f"The URL is longer than {LONGEST_URL} characters.")
    if _UNUSABLE.search(url):
        raise Refused("The URL has a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        given = parts.port
    except ValueError as error:
        raise Refused(f"The URL cannot be read: {error}.") from error
    if parts.scheme not in PORTS:
        raise Refused(f"Only http and https are fetched, not {parts.scheme or 'a relative URL'!r}.")
    if "@" in parts.netloc:
        raise Refused("A URL with a user name or password is not fetched.")
    port = PORTS[parts.scheme][0] if given is None else given
    if port not in PORTS[parts.scheme] and not any_port:
        allowed = ", ".join(map(str, PORTS[parts.scheme]))
        raise Refused(f"Port {port} is not fetched; with {parts.scheme} it is one of {allowed}.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._", errors="replace")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]", errors="replace")
    asked = f"{path}?{query}" if query else path
    return Target(parts.scheme, _host(parts.hostname or ""), port, asked)


def redirected(target: Target, location: str) -> Target:
    """Where a redirect leads, which is held to the same. Raises `Refused`."""
    try:
        return target_of(urljoin(target.url, location))
    except ValueError as error:
        raise Refused(f"The redirect cannot be read: {error}.") from error


def require_public(
    addresses: list[str], host: str, besides: Collection[IPv4Network | IPv6Network] = ()
) -> None:
    """Raise `Refused` unless every address is public: one that is not makes the name suspect.

    Those of the networks named besides may be reached too.
    """
    if not addresses:
        raise Refused(f"{host} has no address.")
    for address in addresses:
        if _is_in(address, besides):
            continue
        if not is_public(address) or _is_own(address):
            found = "" if host == address else f"at {address}, which is "
            raise Refused(f"{host} is {found}not a public address.")


def is_public(text: str) -> bool:
    """Whether it is an address of the public internet, whatever it carries within."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _is_in(text: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _is_own(address: str) -> bool:
    """Whether it leads to this very machine, where a firewall in front of it has no say.

    A datagram socket that is connected sends nothing; it only learns its route.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:  # Without a route, or without IPv6 at all, it leads nowhere.
        return False


def _host(host: str) -> str:
    """The host as it is looked up and certified. Raises `Refused` for what is spelt oddly."""
    if ":" in host:
        return _address_6(host)
    host = host.removesuffix(".")
    if not host.isascii():
        host = _in_ascii(host)
    if _NUMERIC.fullmatch(host):
        return _address_4(host)
    if not _NAME.fullmatch(host):
        raise Refused(f"{host!r} is not the name of a host.")
    return host


def _in_ascii(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode().removesuffix(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise Refused(f"{host!r} is not the name of a host: {error}.") from error


def _address_4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError as error:
        raise Refused(f"{host!r} is no IPv4 address in its usual spelling.") from error


def _address_6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError as error:
        raise Refused(f"{host!r} is no IPv6 address.") from error
    if address.scope_id is not None:
        raise Refused("An address with a zone is not public.")
    return str(address)
