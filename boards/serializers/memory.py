"""Shapes of what a board remembers."""

from rest_framework import serializers

from agents.serializers import KnownModelFieldsOnly
from boards.actions import memory
from boards.models import MemoryEntry


class AuthorSerializer(serializers.Serializer[MemoryEntry]):
    """Who said it."""

    kind = serializers.CharField(source="author_kind")
    id = serializers.UUIDField(source="author_id", allow_null=True)
    name = serializers.CharField(source="author_name")


class MemorySerializer(KnownModelFieldsOnly):
    """One thing that a board remembers; the tag `chat` makes it a line of its chat."""

    content = serializers.CharField(max_length=memory.LONGEST, trim_whitespace=False)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=memory.LONGEST_TAG),
        required=False,
        max_length=memory.MOST_TAGS,
    )
    author = AuthorSerializer(source="*", read_only=True)

    class Meta:
        model = MemoryEntry
        fields = ["id", "board", "content", "tags", "source", "is_chat", "author", "created_at"]
        read_only_fields = ["board", "is_chat", "created_at"]
