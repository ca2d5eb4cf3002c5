"""The operators' view of what boards remember."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.pages import Page
from boards.actions import forget
from boards.models import MemoryEntry


@admin.register(MemoryEntry)
class MemoryPage(Page):
    """What boards remember, their chats among it."""

    list_display = ("__str__", "board", "is_chat", "author_name", "created_at")
    list_select_related = ("board",)
    list_filter = ("is_chat", "author_kind")
    search_fields = ("content", "author_name", "board__name")
    exclude = ("words",)
    remove = staticmethod(forget)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MemoryEntry]:
        rows: QuerySet[MemoryEntry] = super().get_queryset(request)
        return rows.defer("words")
