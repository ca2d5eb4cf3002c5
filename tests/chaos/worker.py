"""A Celery worker whose runs stand still where a test says: `python -m tests.chaos.worker ...`.

The engine is the real one; only four of its doors are wrapped, so that a kill can hit the gap
between two commits, which is too short to be hit from outside.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import wraps
from pathlib import Path
from typing import Any

import django

from tests.chaos.stops import FOLDER, Point, Stops

_at = threading.local()


def install(stops: Stops) -> None:
    """Wrap the doors between a run and the ledger."""
    from agents.runtime.tools.registry import Toolbox
    from executions import git
    from executions.engine import claim as claims

    claims.start_call = _start_call(claims.start_call, stops)
    claims.commit = _commit(claims.commit, stops)
    git.keep_tree = _keep_tree(git.keep_tree, stops)
    Toolbox.carry_out = _call(Toolbox.carry_out, stops)  # type: ignore[method-assign]  # That is the point.


def _start_call(original: Any, stops: Stops) -> Any:
    @wraps(original)
    def start_call(claim: Any, call_id: Any, **options: Any) -> Any:
        from executions.models import ToolCall

        turn = ToolCall.objects.values_list("turn", flat=True).get(pk=call_id)
        _at.call, _at.place = call_id, (claim.id, turn)
        _stand(stops, Point.REPLIED)
        seq = original(claim, call_id, **options)
        _stand(stops, Point.STARTED)
        return seq

    return start_call


def _call(original: Any, stops: Stops) -> Any:
    @wraps(original)
    def call(self: Any, request: Any, workspace: Any) -> Any:
        if getattr(_at, "call", None) is not None:
            stops.note_effect(_at.call)
        _stand(stops, Point.IN_TOOL)
        result = original(self, request, workspace)
        _stand(stops, Point.TOOL_ENDED)
        return result

    return call


def _keep_tree(original: Any, stops: Stops) -> Any:
    @wraps(original)
    def keep_tree(*arguments: Any) -> Any:
        commit = original(*arguments)
        _stand(stops, Point.KEEPING)
        return commit

    return keep_tree


def _commit(original: Any, stops: Stops) -> Any:
    @wraps(original)
    def commit(claim: Any, batch: Any, **options: Any) -> Any:
        if not batch.settled:
            return original(claim, batch, **options)
        _stand(stops, Point.KEPT)
        boundary = original(claim, batch, **options)
        _stand(stops, Point.SETTLED)
        _at.call = _at.place = None
        return boundary

    return commit


def _stand(stops: Stops, point: Point) -> None:
    place = getattr(_at, "place", None)
    if place is not None:
        from django.db import connection

        connection.close()  # Who stands still must not hold what others need.
        execution_id, turn = place
        stops.stand(execution_id, turn, point)


def main() -> None:
    """Wrap, and hand over to Celery."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    install(Stops(Path(os.environ[FOLDER])))
    from celery.__main__ import main as celery

    sys.argv[0] = "celery"
    celery()


if __name__ == "__main__":
    main()
