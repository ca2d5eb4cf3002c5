"""Connections to PostgreSQL outside Django's: for who must not wait for its pool."""

from __future__ import annotations

from typing import Any

from django.db import connections

# Django's own options, which psycopg does not know.
_DJANGOS = {"context", "cursor_factory", "pool", "prepare_threshold", "server_side_binding"}


def options() -> dict[str, Any]:
    """What `psycopg.connect` is to be given to reach the database of this project."""
    parameters = connections["default"].get_connection_params()
    return {name: value for name, value in parameters.items() if name not in _DJANGOS}


def lively(seconds: float) -> dict[str, Any]:
    """Further options, by which a dead network ends the connection within so many seconds.

    `tcp_user_timeout` ends it while something that was sent is not acknowledged, and keepalives
    while an answer is waited for; both concern TCP alone.
    """
    return {
        "tcp_user_timeout": max(1, round(seconds * 1000)),
        "keepalives": 1,
        "keepalives_idle": max(1, int(seconds / 2)),
        "keepalives_interval": max(1, int(seconds / 4)),
        "keepalives_count": 2,
    }
