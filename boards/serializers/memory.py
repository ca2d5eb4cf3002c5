"""Shapes of what a board remembers."""

from rest_framework import serializers

from agents.serializers import ActorField, KnownModelFieldsOnly
from boards.actions import memory
from boards.models import MemoryEntry


class MemorySerializer(KnownModelFieldsOnly):
    """One thing that a board remembers; the tag `chat` makes it a line of its chat."""

    content = serializers.CharField(max_length=memory.LONGEST, trim_whitespace=False)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=memory.LONGEST_TAG),
        required=False,
        max_length=memory.MOST_TAGS,
    )
    author = ActorField("author")

    class Meta:
        model = MemoryEntry
        fields = ["id", "board", "content", "tags", "source", "is_chat", "author", "created_at"]
        read_only_fields = ["board", "is_chat", "created_at"]
