"""What a run is told of the task that it is started on: a prompt made of the card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from boards.models import Comment, CustomFieldValue, Dependency, Task

# Characters of each part, and how many of what there may be many of: a card can hold megabytes,
# and a prompt is paid for again with every turn.
LONGEST_TEXT = 8_000
LONGEST_OBJECTIVE = 2_000
LONGEST_COMMENT = 2_000
LONGEST_VALUE = 500
MOST_COMMENTS = 10
MOST_VALUES = 30
MOST_DEPENDENCIES = 30


def of(task: Task, words: str = "") -> str:
    """The brief of a task, and whatever the caller says last, whole."""
    parts = [f"Your task: {task.title}", *_sections(task), words.strip()]
    return "\n\n".join(part for part in parts if part)


def _sections(task: Task) -> Iterator[str]:
    yield _cut(task.description.strip(), LONGEST_TEXT)
    yield _section("What the board is for", [_cut(task.board.objective, LONGEST_OBJECTIVE)])
    yield _section("Its fields", _values(task))
    yield _section("It was waiting for these, which are done", _dependencies(task))
    yield _section("The last comments on it, oldest first", _comments(task))


def _values(task: Task) -> Iterator[str]:
    values = CustomFieldValue.objects.filter(task=task).select_related("field")
    for each in values.order_by("field__key")[:MOST_VALUES]:
        yield f"{each.field.name}: {_cut(str(each.value), LONGEST_VALUE)}"


def _dependencies(task: Task) -> Iterator[str]:
    rows = Dependency.objects.filter(task=task).order_by("on_id")
    for title in rows.values_list("on__title", flat=True)[:MOST_DEPENDENCIES]:
        yield f"- {title}"


def _comments(task: Task) -> Iterator[str]:
    newest = Comment.objects.filter(task=task).order_by("-id")[:MOST_COMMENTS]
    for each in reversed(newest):
        yield f"{each.author_name or each.author_kind}: {_cut(each.content, LONGEST_COMMENT)}"


def _section(heading: str, lines: Iterable[str]) -> str:
    found = [line for line in lines if line]
    return "\n".join([f"{heading}:", *found]) if found else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} […cut here: {len(text)} characters]"
