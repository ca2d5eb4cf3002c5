"""Which values no execution may show, and the redactor that takes them out.

They are the variables of its board as frozen at its start, which commands are given; the password
in the address of its board's repository; and what this server itself knows: keys of models, its
own key, and the passwords of its database and of Redis.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

from agents.runtime.endpoint import is_key_variable
from agents.runtime.redaction import Redactor, passwords_of, secrets_of

if TYPE_CHECKING:
    from executions.models import Execution

Pairs = tuple[tuple[str, str], ...]


def redactor(environment: Mapping[str, str], *, repository: str = "") -> Redactor:
    """The redactor of a run whose board has these variables and this repository."""
    ours = ((name, value) for name, value in os.environ.items() if is_key_variable(name))
    return _made((*secrets_of(environment), *ours, *_servers_own(), *_of_repository(repository)))


def redactor_of(execution: Execution) -> Redactor:
    """The same of an execution as its row is, for who writes to it from outside of a run."""
    board = execution.board
    return redactor(
        execution.spec.get("environment", {}), repository=board.repository if board else ""
    )


# Its making encodes every value in a dozen ways; runs of one board share it.
@lru_cache(maxsize=64)
def _made(secrets: Pairs) -> Redactor:
    return Redactor(secrets)


def _servers_own() -> Iterator[tuple[str, str]]:
    yield "SECRET_KEY", settings.SECRET_KEY
    for name in ("DATABASE_URL", "REDIS_URL"):
        yield from ((name, password) for password in passwords_of(getattr(settings, name)))


def _of_repository(url: str) -> Iterator[tuple[str, str]]:
    return (("REPOSITORY", password) for password in passwords_of(url))
