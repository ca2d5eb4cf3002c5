"""Signs what is posted by the Standard Webhooks specification, with secrets that can be changed.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from agents.models.signing import Signing
from agents.sealing import seal, unseal

PREFIX = "whsec_"
_BYTES = 32
# How long what is posted is signed with the old secret too, after it was changed.
OVERLAP = timedelta(hours=24)


def give_secret(row: Signing, given: str = "") -> None:
    """Give an unsaved row a new secret or that one; `row.secret` has it in the clear, this once."""
    row.secret = given or PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    row.sealed_secret = seal(row.secret)


def rotate_secret(row: Signing, given: str = "") -> list[str]:
    """Give a locked row another secret; the fields that have to be saved."""
    row.sealed_previous_secret = row.sealed_secret
    row.previous_secret_until = timezone.now() + OVERLAP
    give_secret(row, given)
    return ["sealed_secret", "sealed_previous_secret", "previous_secret_until"]


def signed_headers(secrets_: Sequence[str], key: str, moment: int, body: bytes) -> dict[str, str]:
    """The headers that vouch for a body: its id, seconds since 1970, one signature a secret."""
    signatures = [f"v1,{_signature(each, f'{key}.{moment}.'.encode() + body)}" for each in secrets_]
    return {
        "webhook-id": key,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(signatures),
    }


def secrets_of(row: Signing) -> list[str]:
    """What it signs with now, in the clear. Raises `SealBroken`."""
    sealed = [row.sealed_secret]
    if row.previous_secret_until is not None and row.previous_secret_until > timezone.now():
        sealed.append(row.sealed_previous_secret)
    return [unseal(each) for each in sealed]


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
