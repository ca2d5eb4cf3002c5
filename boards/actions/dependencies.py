"""What tasks wait for: without circles, and with what follows when something reopens.

Everything here is asked under the lock of the board, so that no two make a circle together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from boards.errors import DependencyCycle, UnknownTasks, WaitsForItself
from boards.models import Board, Dependency, Task, TaskStatus


def unfinished(task: Task) -> list[UUID]:
    """What the task waits for now."""
    waits = Dependency.objects.filter(task=task).exclude(on__status=TaskStatus.DONE)
    return list(waits.order_by("on_id").values_list("on_id", flat=True))


def check(board: Board, task_id: UUID | None, wanted: Collection[UUID]) -> list[UUID]:
    """Refuse dependencies that cannot be; returns those of them that are unfinished.

    `task_id` is None for a task that is not there yet. Raises WaitsForItself (422), UnknownTasks
    (404) and DependencyCycle (409).
    """
    if task_id in wanted:
        raise WaitsForItself
    statuses = dict(Task.objects.filter(board=board, pk__in=wanted).values_list("pk", "status"))
    if unknown := set(wanted) - statuses.keys():
        raise UnknownTasks(unknown_task_ids=sorted(unknown))
    if task_id is not None:
        _refuse_circle(board, task_id, wanted)
    return sorted(key for key, status in statuses.items() if status != TaskStatus.DONE)


def write(task: Task, wanted: Collection[UUID]) -> bool:
    """Let the task wait for exactly these; returns whether that changed anything."""
    had = set(Dependency.objects.filter(task=task).values_list("on_id", flat=True))
    gone, new = had - set(wanted), set(wanted) - had
    if gone:
        Dependency.objects.filter(task=task, on_id__in=gone).delete()
    Dependency.objects.bulk_create(Dependency(task=task, on_id=each) for each in new)
    return bool(gone or new)


def waiting_for(task: Task) -> Iterable[Task]:
    """The unfinished tasks that wait for this one and are no longer untouched in the inbox."""
    dependents = Task.objects.filter(dependencies__on=task).exclude(status=TaskStatus.DONE)
    untouched = dependents.filter(status=TaskStatus.INBOX, assigned_agent=None)
    rows = dependents.exclude(pk__in=untouched.values("pk")).select_for_update(no_key=True)
    return list(rows.order_by("pk"))


def _refuse_circle(board: Board, task_id: UUID, wanted: Collection[UUID]) -> None:
    """Follow what the wanted ones wait for, level by level, as far as it goes."""
    seen, level = set(wanted), set(wanted)
    while level:
        edges = Dependency.objects.filter(task_id__in=level, task__board=board)
        level = set(edges.values_list("on_id", flat=True)) - seen
        if task_id in level:
            raise DependencyCycle(depends_on_task_ids=sorted(wanted))
        seen |= level
