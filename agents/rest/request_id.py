"""The id under which a request is known in answers and logs."""

import re

from django.http import HttpRequest
from uuid_utils.compat import uuid7

_META = "HTTP_X_REQUEST_ID"
_ACCEPTED = re.compile(r"[\x21-\x7e]{1,128}")


def choose(sent: str) -> str:
    """The caller's id if it has 1 to 128 visible ASCII characters, else a new one."""
    return sent if _ACCEPTED.fullmatch(sent) else str(uuid7())


def assign(request: HttpRequest) -> str:
    """Choose the request's id; it is kept in the header's place, where django-structlog looks."""
    chosen = choose(request.META.get(_META, ""))
    request.META[_META] = chosen
    return chosen


def request_id_of(request: HttpRequest | None) -> str:
    """The id that `assign` chose; empty where no middleware ran."""
    return "" if request is None else str(request.META.get(_META, ""))
