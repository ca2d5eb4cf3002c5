"""Where a request comes from, as far as those between can be trusted to say."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

_UNKNOWN = "unknown"
# What one subscriber is given; each of its 2**64 addresses is as easily had as the first.
_IPV6_PREFIX = 64


def address_of(request: HttpRequest) -> str:
    """The address that a request is counted by; of IPv6 its network of /64.

    Behind `SIGNALBOX_TRUSTED_PROXIES` proxies it is the entry of `X-Forwarded-For` that the
    outermost of them wrote, counted from the right: what stands left of it can be anybody's
    invention. Without trusted proxies the header is not read.
    """
    peer: str = request.META.get("REMOTE_ADDR") or ""
    trusted = settings.SIGNALBOX_TRUSTED_PROXIES
    if not trusted:
        return _network(peer) or _UNKNOWN
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    # Each proxy adds the address of who called it; the last one's is that of the connection.
    hops = [*(hop.strip() for hop in forwarded if hop.strip()), peer]
    return _network(hops[max(len(hops) - 1 - trusted, 0)]) or _network(peer) or _UNKNOWN


def _network(text: str) -> str:
    """The address as it is counted; empty for what is none."""
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))
    return str(address) if address else ""


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address of `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
