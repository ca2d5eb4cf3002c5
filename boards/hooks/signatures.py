"""Whether what came was signed with a webhook's secret: an HMAC-SHA256 over the raw body.

`webhook-signature` is that of Standard Webhooks, which signs `id.timestamp.body` with the decoded
secret: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
Every other header has the HMAC of the body with the secret's text, in hex or base64, with
`sha256=` before it or not, as GitHub sends it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from agents.errors import Refusal
from agents.signing import PREFIX

STANDARD = "webhook-signature"
# Looked for in this order where a webhook names no header of its own; the first that is there
# decides, so that nobody gets to try several.
USUAL = (STANDARD, "x-signalbox-signature", "x-hub-signature-256")
TOLERANCE_SECONDS = 300
SHORTEST_SECRET = 16
LONGEST_SECRET = 256
_SHORTEST_KEY = 12


class SignatureInvalid(Refusal):
    """The request is not signed with the secret of this webhook."""

    code = "SIGNATURE_INVALID"
    status_code = 403


class TimestampStale(Refusal):
    """The request was signed too long ago, or ahead of time."""

    code = "TIMESTAMP_STALE"
    status_code = 403


def check(
    secrets: Sequence[str], header: str, headers: Mapping[str, str], body: bytes, now: float
) -> None:
    """Nothing, if one of the secrets signed the body, in time; `headers` know no case.

    `header` is the one that the webhook names, or empty. Raises SignatureInvalid, and then
    TimestampStale.
    """
    named = header.lower() or next((each for each in USUAL if each in headers), "")
    if named == STANDARD:
        _check_standard(secrets, headers, body, now)
        return
    given = _digest(headers.get(named, ""))
    made = [_hmac(secret.encode(), body) for secret in secrets]
    if not _is_among([given], made):
        raise SignatureInvalid


def is_usable(secret: str) -> bool:
    """Whether a secret that was given can sign: long enough, and what it looks like."""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET or not secret.isascii():
        return False
    if not secret.isprintable() or " " in secret:
        return False
    return not secret.startswith(PREFIX) or bool(_decoded(secret))


def _check_standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> None:
    key, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = f"{key}.{moment}.".encode() + body
    versions = [each.partition(",") for each in headers.get(STANDARD, "").split()]
    given = [_digest(text) for version, _, text in versions if version == "v1"]
    made = [_hmac(found, signed) for found in map(_decoded, secrets) if found]
    if not key or not _is_among(given, made):
        raise SignatureInvalid
    is_number = moment.isascii() and moment.isdigit() and len(moment) <= 12
    if not is_number or abs(now - int(moment)) > TOLERANCE_SECONDS:
        raise TimestampStale(tolerance_seconds=TOLERANCE_SECONDS)


def _is_among(given: Sequence[bytes], made: Sequence[bytes]) -> bool:
    """Whether one was given that was made; each pair is compared, in constant time."""
    found = [hmac.compare_digest(one, other) for one in given for other in made]
    return any(found)


def _hmac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _digest(text: str) -> bytes:
    """The digest that a header has; empty, and so like none, where it has none."""
    text = text.strip().removeprefix("sha256=")
    try:
        return bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _decoded(secret: str) -> bytes:
    """The key of Standard Webhooks that the secret stands for; empty if it stands for none."""
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        return b""
    return found if len(found) >= _SHORTEST_KEY else b""
