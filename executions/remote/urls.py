"""Addresses of the dispatch API, below `/api/v0/dispatch`."""

from typing import Any

from django.urls import path

from agents.rest.plain_views import by_method
from executions.remote.poll import poll
from executions.remote.reading import entries
from executions.remote.views import DispatchViewSet

_ONE = "<uuid:exec_id>"
# Typed as what `path` takes; Django calls both kinds.
_entries: Any = by_method(get=entries, post=DispatchViewSet.as_view({"post": "append"}))
_WRITES = ("heartbeat", "release", "complete", "fail", "suspend", "stream")

urlpatterns = [
    path("poll", poll, name="dispatch-poll"),
    *(
        path(f"{_ONE}/{write}", DispatchViewSet.as_view({"post": write}), name=f"dispatch-{write}")
        for write in _WRITES
    ),
    path(f"{_ONE}/entries", _entries, name="dispatch-entries"),
    path(f"{_ONE}/checkpoint", DispatchViewSet.as_view({"get": "latest"})),
    path(f"{_ONE}/checkpoints", DispatchViewSet.as_view({"post": "checkpoint"})),
    path(f"{_ONE}/jobs", DispatchViewSet.as_view({"post": "schedule"})),
    path(f"{_ONE}/signals/consume", DispatchViewSet.as_view({"post": "consume"})),
    path(f"{_ONE}/signals/<path:name>", DispatchViewSet.as_view({"get": "pending"})),
]
