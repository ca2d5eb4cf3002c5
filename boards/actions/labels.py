"""Tags, and which tasks carry them."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from agents.errors import Refusal
from boards.models import Tag, Task


class TagNotFound(Refusal):
    """There is no such tag in this organization."""

    code = "TAG_NOT_FOUND"
    status_code = 404


def set_tags(task: Task, tag_ids: Collection[UUID]) -> bool:
    """Let the task carry exactly these tags; returns whether that changed anything.

    Raises TagNotFound with the ids that the organization does not have.
    """
    tags = list(Tag.objects.filter(organization=task.board.organization_id, pk__in=tag_ids))
    wanted = {tag.pk for tag in tags}
    if unknown := set(tag_ids) - wanted:
        raise TagNotFound(unknown_tag_ids=sorted(unknown))
    if wanted == set(task.tags.values_list("pk", flat=True)):
        return False
    task.tags.set(tags)
    return True
