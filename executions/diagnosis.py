"""Reads how this installation is: configured, reachable, migrated, alive, and what is stuck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, QuerySet

from agents.clock import clock
from agents.models import Organization
from agents.redis import client
from agents.remote import of_remote_kind, place
from agents.runtime.kinds import label_of
from agents.runtime.llm import ModelError, UnknownModel, open_model
from agents.runtime.spec import ModelSettings
from agents.runtime.tools.confine import confinement
from executions import queries, semaphore
from executions.models import AT_A_LIMIT, Execution, Job, JobStatus, Status, Worker
from executions.semaphore import Scope

LEAST_POSTGRES = 15
LEAST_REDIS = (6, 2)
# What the sweep puts right by itself within a few rounds is not worth a word before that.
SETTLING = timedelta(minutes=1)
_LATELY = timedelta(hours=1)


class Level(StrEnum):
    """How a finding is meant: `WRONG` wants something done, `NOTE` is worth knowing."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; what is wrong comes with one line of advice."""

    section: str
    name: str
    text: str
    level: Level = Level.OK
    advice: str = ""


def diagnose() -> list[Finding]:
    """Every finding, in the order in which one thing needs the other. Raises nothing."""
    return [finding for section, look in _LOOKS for finding in _without_falling(section, look)]


def _without_falling(section: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What a section finds; one that cannot be read says why, and the next is looked at."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        found.append(
            Finding(
                section,
                "not read",
                f"{type(error).__name__}: {reason}",
                Level.WRONG,
                "See to what is not reachable first." if _is_outage(error) else "Report this.",
            )
        )
    return found


def _is_outage(error: Exception) -> bool:
    return isinstance(error, Error | redis.RedisError | OSError)


# --- configured --------------------------------------------------------------------------------


def _configured() -> Iterator[Finding]:
    yield Finding("configured", "address of PostgreSQL", _where(settings.DATABASE_URL))
    yield Finding("configured", "address of Redis", _where(settings.REDIS_URL))
    yield Finding("configured", "home", str(settings.SIGNALBOX_HOME))
    yield _model()
    yield _confinement()


def _where(url: str) -> str:
    """An address without its password, and whether it is our own server."""
    parts = urlsplit(url)
    kind = "embedded" if _embedded_password() and _embedded_password() in url else "external"
    return f"{kind}, {parts.hostname or 'a socket'}:{parts.port or ''}{parts.path}"


def _embedded_password() -> str:
    """By which embedded servers are told from others: it is in their addresses."""
    kept = Path(settings.SIGNALBOX_HOME) / "services.json"
    try:
        return str(json.loads(kept.read_text())["password"])
    except (OSError, ValueError, KeyError):
        return ""


def _model() -> Finding:
    name = settings.SIGNALBOX_DEFAULT_MODEL
    try:
        open_model(name, ModelSettings())
    except (UnknownModel, ModelError) as error:
        advice = "Correct SIGNALBOX_MODEL, or set the key that it needs."
        return Finding("configured", "model", f"{name}: {error}", Level.WRONG, advice)
    return Finding("configured", "model", name)


def _confinement() -> Finding:
    found = confinement()
    level = {"refused": Level.WRONG, "none": Level.NOTE}.get(found.name, Level.OK)
    advice = "Install bubblewrap." if level is not Level.OK else ""
    return Finding("configured", "Bash", found.describe(), level, advice)


# --- reachable, migrated -----------------------------------------------------------------------


def _postgres() -> Iterator[Finding]:
    start = time.perf_counter()
    with connection.cursor() as cursor:
        connecting = _milliseconds(start)
        start = time.perf_counter()
        cursor.execute("SHOW server_version")
        version = str(cursor.fetchone()[0])
    text = f"{version}, {_milliseconds(start)} ms ({connecting} ms to connect)"
    given = int(version.partition(".")[0])
    yield _at_least("PostgreSQL", text, given >= LEAST_POSTGRES, "15")


def _redis() -> Iterator[Finding]:
    start = time.perf_counter()
    version = str(client().info("server")["redis_version"])
    text = f"{version}, {_milliseconds(start)} ms"
    given = tuple(int(part) for part in version.split(".")[:2])
    yield _at_least("Redis", text, given >= LEAST_REDIS, "6.2")


def _at_least(name: str, text: str, is_enough: bool, least: str) -> Finding:  # noqa: FBT001  Private.
    if is_enough:
        return Finding("reachable", name, text)
    return Finding(
        "reachable", name, text, Level.WRONG, f"Signalbox needs {name} {least} or newer."
    )


def _milliseconds(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 1)


def _migrated() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        yield Finding("migrated", "migrations", "all applied")
        return
    names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in plan[:5])
    text = f"{len(plan)} not applied: {names}"
    yield Finding("migrated", "migrations", text, Level.WRONG, "Run manage.py migrate.")


# --- alive -------------------------------------------------------------------------------------


def _alive() -> Iterator[Finding]:
    alive = list(queries.live_workers().order_by("started_at"))
    now = clock()
    for worker in alive:
        yield Finding("alive", worker.name, _described(worker, now))
    known = Worker.objects.exclude(pk__in=[worker.pk for worker in alive])
    for worker in known.order_by("-seen_at")[:5]:
        yield Finding("alive", worker.name, f"silent: {_described(worker, now)}", Level.NOTE)
    # Those outside, which poll, have no process that is ours.
    if not any(worker.pid for worker in alive):
        advice = "Start one: manage.py up, or celery -A config worker."
        yield Finding("alive", "workers", "none", Level.WRONG, advice)
    served = {queue for worker in alive for queue in worker.queues}
    for queue in sorted(_wanted_queues() - served):
        advice = f"Start a worker with --queues {queue}."
        yield Finding("alive", f"queue {queue}", "no worker serves it", Level.WRONG, advice)
    for where in sorted(_wanted_places() - served):
        advice = "Start the worker outside that polls for it."
        yield Finding("alive", where, "no worker polls for it", Level.WRONG, advice)
    for kind in sorted(_missing_kinds(alive)):
        advice = "Start a worker whose SIGNALBOX_MODULES name the module of this kind."
        yield Finding("alive", f"kind {kind}", "no worker has it", Level.WRONG, advice)


def _described(worker: Worker, now: datetime) -> str:
    state = ", stopping" if worker.is_draining else ""
    return (
        f"seen {_for_people(now - worker.seen_at)} ago, up {_for_people(now - worker.started_at)}, "
        f"{worker.running} of {worker.concurrency} at work, "
        f"queues {', '.join(worker.queues)}{state}"
    )


def _wanted_queues() -> set[str]:
    queued = (
        Execution.objects.filter(status=Status.QUEUED).exclude(of_remote_kind()),
        Job.objects.filter(status=JobStatus.QUEUED),
    )
    return {
        queue
        for rows in queued
        for queue in rows.order_by().values_list("worker_queue", flat=True).distinct()
    }


def _missing_kinds(alive: Sequence[Worker]) -> set[str]:
    """Kinds of what is queued that no worker has; one of an older release does not say."""
    had = [worker.kinds for worker in alive if worker.pid]
    if not had or not all(had):
        return set()
    queued = Execution.objects.filter(status=Status.QUEUED).exclude(of_remote_kind()).order_by()
    wanted = {label_of(*kind) for kind in queued.values_list("kind", "kind_version").distinct()}
    return wanted.difference(*had)


def _wanted_places() -> set[str]:
    queued = Execution.objects.filter(of_remote_kind(), status=Status.QUEUED).order_by()
    wanted = queued.values_list("organization_id", "kind", "worker_queue").distinct()
    return {place(*named) for named in wanted}


# --- stuck -------------------------------------------------------------------------------------


def _stuck() -> Iterator[Finding]:
    now = clock()
    yield from _queued(now)
    yield from _unclaimed(now)
    yield from _expired(now)
    yield from _paused_at_limits()
    yield from _failed(now)


def _queued(now: datetime) -> Iterator[Finding]:
    waiting = Execution.objects.filter(status=Status.QUEUED, admitted_epoch=None)
    oldest = waiting.order_by("queued_at").select_related("agent", "board").first()
    if oldest is None:
        yield Finding("stuck", "queue", "empty")
        return
    place = queries.queue_place(oldest)
    reason = place.blocked_by if place else ""
    age = now - oldest.queued_at
    text = f"the oldest, {oldest.id}, is {_for_people(age)} old; {_OBSTACLES[reason]}"
    if reason or age < SETTLING:
        yield Finding("stuck", "queue", text, Level.NOTE if reason else Level.OK)
        return
    yield Finding("stuck", "queue", text, Level.WRONG, "See that Redis and a worker are up.")


_OBSTACLES = {
    "": "nothing is noted to block it",
    "organization": "its organization's limit is reached",
    "board": "its board's limit is reached",
    "agent": "its agent's limit is reached",
    "agent_paused": "its agent is paused",
    "board_paused": "its board is paused",
}


def _unclaimed(now: datetime) -> Iterator[Finding]:
    rows = Execution.objects.filter(
        status=Status.QUEUED, admitted_epoch__isnull=False, admitted_at__lt=now - SETTLING
    )
    advice = "Every worker is busy or gone: start another, or raise --concurrency."
    yield _counted("admitted, unclaimed", rows, advice)


def _expired(now: datetime) -> Iterator[Finding]:
    rows = Execution.objects.filter(
        status__in=[Status.RUNNING, Status.CANCELLING], lease_expires_at__lt=now - SETTLING
    )
    yield _counted("leases run out", rows, "No sweep runs: start a worker.")


def _counted(name: str, rows: QuerySet[Execution], advice: str) -> Finding:
    found = list(rows.values_list("pk", flat=True)[:4])
    if not found:
        return Finding("stuck", name, "none")
    listed = ", ".join(map(str, found[:3])) + (", …" if len(found) > 3 else "")
    return Finding("stuck", name, listed, Level.WRONG, advice)


def _paused_at_limits() -> Iterator[Finding]:
    paused = Execution.objects.filter(status=Status.PAUSED, pause_reason__in=AT_A_LIMIT)
    counts = paused.values_list("pause_reason").annotate(count=Count("pk")).order_by()
    for reason, count in counts:
        text, advice = f"{count} wait for a person", "Extend, finish or cancel them."
        yield Finding("stuck", f"paused at {reason}", text, Level.NOTE, advice)


def _failed(now: datetime) -> Iterator[Finding]:
    lately = Execution.objects.filter(status=Status.FAILED, finished_at__gt=now - _LATELY)
    counts = lately.values_list("failure_code").annotate(count=Count("pk")).order_by()
    for code, count in counts:
        yield Finding("stuck", f"failed: {code}", f"{count} within the hour", Level.NOTE)


def _permits() -> Iterator[Finding]:
    """Permits of Redis beside the rows that hold one; each is looked at twice, a second apart."""
    amiss = _permits_amiss()
    if any(amiss):
        # One that was being taken or given back at that moment is in order by now.
        time.sleep(1)
        again = _permits_amiss()
        amiss = amiss[0] & again[0], amiss[1] & again[1]
    orphans, missing = amiss
    advice = "A worker's sweep puts this right within a minute: see that one is alive."
    if not orphans and not missing:
        yield Finding("stuck", "permits", "as the rows say")
    if orphans:
        text = f"{len(orphans)} in Redis belong to nothing that runs"
        yield Finding("stuck", "permits", text, Level.WRONG, advice)
    if missing:
        text = f"{len(missing)} of what runs are not in Redis"
        yield Finding("stuck", "permits", text, Level.WRONG, advice)


def _permits_amiss() -> tuple[set[str], set[str]]:
    """Permits without a row, and rows without a permit."""
    held = {
        member
        for key in Organization.objects.values_list("pk", flat=True)
        for member in semaphore.members(Scope("organization", str(key)))
    }
    rows = Execution.objects.filter(admitted_epoch__isnull=False)
    owned = {f"{key}:{epoch}" for key, epoch in rows.values_list("pk", "admitted_epoch")}
    return held - owned, owned - held


def _for_people(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


_LOOKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("configured", _configured),
    ("reachable", _postgres),
    ("reachable", _redis),
    ("migrated", _migrated),
    ("alive", _alive),
    ("stuck", _stuck),
    ("stuck", _permits),
)
