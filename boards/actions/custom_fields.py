"""Custom fields, and what their values may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boards.models import Task


def set_values(task: Task, values: Mapping[str, Any], *, is_new: bool) -> bool:
    """Write values of custom fields; returns whether that changed anything."""
    return False
