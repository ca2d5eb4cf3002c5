"""What executions said, did and kept: entries, events, checkpoints."""

from __future__ import annotations

from django.contrib import admin

from executions.admin.pages import (
    OfExecution,
)
from executions.models import (
    Checkpoint,
    Entry,
    Event,
)

_SHOWN_TEXT = 120


@admin.register(Entry)
class EntryPage(OfExecution):
    """Items of conversations."""

    list_display = ("position", "of", "turn", "type", "role", "text", "created_at")
    ordering = ("-id",)

    @admin.display(description="Text")
    def text(self, entry: Entry) -> str:
        return str(entry.content.get("text", ""))[:_SHOWN_TEXT]


@admin.register(Event)
class EventPage(OfExecution):
    """Numbered facts of executions."""

    list_display = ("seq", "of", "type", "created_at")
    ordering = ("-id",)


@admin.register(Checkpoint)
class CheckpointPage(OfExecution):
    """Numbered snapshots."""

    list_display = ("sequence", "of", "position", "turn", "created_at")
    ordering = ("-id",)
