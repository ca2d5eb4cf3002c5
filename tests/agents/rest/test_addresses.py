"""The address that a request is counted by, which nobody can invent."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from agents.rest.addresses import address_of

PROXY = "10.0.0.1"


def found(peer: str | None, forwarded: str | None = None) -> str:
    request = RequestFactory().get("/")
    request.META.pop("REMOTE_ADDR")
    if peer is not None:
        request.META["REMOTE_ADDR"] = peer
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return address_of(request)


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "counted"),
    [
        (0, "192.0.2.1", None, "192.0.2.1"),
        (0, "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (1, PROXY, "198.51.100.1", "198.51.100.1"),
        # What a caller sends itself stands left of what the proxy has added.
        (1, PROXY, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (1, PROXY, "203.0.113.9,,nonsense,198.51.100.1", "198.51.100.1"),
        (2, PROXY, "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, PROXY, "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        # Who comes past the proxies is who it is.
        (1, "192.0.2.1", None, "192.0.2.1"),
        (1, "192.0.2.1", "", "192.0.2.1"),
        (3, PROXY, "198.51.100.1", "198.51.100.1"),
        # A proxy that writes no address has none counted for it but its own.
        (1, PROXY, "unknown", PROXY),
        (1, PROXY, "198.51.100.1, _hidden", PROXY),
        (1, PROXY, "198.51.100.1:4711", "198.51.100.1"),
        (1, PROXY, "[2001:db8::1]:4711", "2001:db8::/64"),
    ],
)
def test_the_header_is_read_from_the_right_as_far_as_it_is_trusted(
    settings: Any, proxies: int, peer: str, forwarded: str | None, counted: str
) -> None:
    settings.SIGNALBOX_TRUSTED_PROXIES = proxies

    assert found(peer, forwarded) == counted


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        # IPv4 by way of an IPv6 socket: as one network all of it would be one caller.
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        (None, "unknown"),
        ("a socket", "unknown"),
    ],
)
def test_an_address_of_ipv6_is_counted_by_its_network(peer: str | None, counted: str) -> None:
    assert found(peer) == counted
