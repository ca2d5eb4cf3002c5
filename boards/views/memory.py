"""The operators' endpoints of what a board remembers."""

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view

from agents.collections import Collection, Fields
from agents.filters import Filters, YesOrNo
from boards import actions
from boards.models import MemoryEntry
from boards.queries import about
from boards.serializers.memory import MemorySerializer
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard


def _tagged(rows: QuerySet[MemoryEntry], name: str, tag: str) -> QuerySet[MemoryEntry]:
    return rows.filter(tags__contains=[tag.lower()])


class MemoryFilter(Filters):
    """Which entries; `q` searches for words, as one writes them for a search engine."""

    is_chat = YesOrNo()
    tag = filters.CharFilter(method=_tagged, max_length=80)
    q = filters.CharFilter(method=lambda rows, name, words: about(rows, words), max_length=500)

    class Meta:
        model = MemoryEntry
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List what a board remembers, newest first"),
    create=extend_schema(summary="Remember something, or say it in the chat"),
    retrieve=extend_schema(summary="Read one entry"),
    destroy=extend_schema(summary="Forget an entry"),
)
@extend_schema(parameters=[BOARD_ID])
class MemoryViewSet(OnBoard, Collection[MemoryEntry]):  # type: ignore[misc]  # As in Collection.
    queryset = MemoryEntry.objects.defer("words")
    serializer_class = MemorySerializer
    filterset_class = MemoryFilter
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"
    lookup_url_kwarg = "memory_id"

    def add(self, fields: Fields) -> MemoryEntry:
        return actions.remember(self.board, by=self.actor, **fields)

    def perform_destroy(self, instance: MemoryEntry) -> None:
        actions.forget(instance, by=self.actor)
