"""Reads of boards and what is on them that have more than one line."""

from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery
from django.db.models import QuerySet
from django.db.models.functions import Left

from boards.models import SEARCH_LANGUAGE, MemoryEntry, WebhookPayload


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of what a webhook brought; `payload` comes without its body."""

    payload: WebhookPayload
    text: str
    truncated: bool


def read_payload(payloads: QuerySet[WebhookPayload], max_chars: int) -> Preview | None:
    """The beginning of the one payload among these rows; None if there is none.

    It is cut by the database: a body may be large, and no more than is shown leaves it.
    """
    # One more, to see that there is more.
    cut = payloads.defer("body").annotate(beginning=Left("body", max_chars + 1))
    found = cut.first()
    if found is None:
        return None
    beginning: str = found.beginning
    return Preview(found, beginning[:max_chars], truncated=len(beginning) > max_chars)


def about(rows: QuerySet[MemoryEntry], words: str) -> QuerySet[MemoryEntry]:
    """Those that hold the words, as one writes them for a search engine: `owl -barn "night shift"`.

    Served by the index `memory_words`.
    """
    return rows.filter(words=SearchQuery(words, search_type="websearch", config=SEARCH_LANGUAGE))
