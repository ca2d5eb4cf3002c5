"""Seals secrets that have to be read again: encrypted at rest, with keys that can be changed.

The first key of `SEALING_KEYS` seals, every one opens. So a new key is put before the old one,
`manage.py reseal` seals all rows anew, and then the old key is taken away.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SealBroken(Exception):
    """None of the keys opens it: the key that sealed it is gone, or the text was changed."""

    def __init__(self) -> None:
        super().__init__(
            "A secret cannot be read with the keys of SIGNALBOX_SEALING_KEYS and SECRET_KEY. "
            "Put back the key that it was sealed with, or give it anew."
        )


def seal(text: str) -> str:
    """The text as it may be kept."""
    return _keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text that was sealed. Raises `SealBroken`."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken from error


def reseal(sealed: str) -> str:
    """The same text under the first key. Raises `SealBroken`."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken from error


def _keys() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in settings.SEALING_KEYS])


@lru_cache(maxsize=32)
def _fernet(key: str) -> Fernet:
    # A key is any long text; what seals is derived of it for this one use (RFC 5869).
    derived = HKDF(SHA256(), 32, salt=None, info=b"signalbox.sealing").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
