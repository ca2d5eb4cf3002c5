"""Resuming: how long a worker takes to go on with an execution, by the entries behind it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from django.db import connection
from uuid_utils.compat import uuid7

from agents.models import Agent
from executions import transcripts
from executions.engine.dispatch import dispatch
from executions.models import Execution
from tests.benchmarks import runs
from tests.benchmarks.figures import Figure, Report, percentile
from tests.benchmarks.ground import worker
from tests.starting import a_run

PART = "resuming"
LENGTHS = (10, 100, 1_000, 10_000)
AIM_MILLISECONDS = 300.0
# Queued, resumed, the turn that it has to go, and the end; after the first event, which the start
# wrote.
_EVENTS = 4
_WHAT = "from dispatch to end, one turn to go"

# Turns of two entries, a reply with a call and its result, as `transcripts` stores them.
_FILL = """
INSERT INTO executions_entry
  (id, execution_id, position, parent_id, turn, type, role, content, created_at)
SELECT gen_random_uuid(), %(id)s, n, NULL, n / 2,
  CASE WHEN n %% 2 = 0 THEN 'llm_call' ELSE 'tool_result' END,
  CASE WHEN n %% 2 = 0 THEN 'assistant' ELSE 'tool_result' END,
  CASE WHEN n %% 2 = 0 THEN jsonb_build_object(
    'text', repeat('I look further. ', 8), 'tool_requests', jsonb_build_array(
      jsonb_build_object('call_id', 'call-' || n, 'name', 'Note', 'problem', '',
                         'arguments', jsonb_build_object('text', repeat('look ', 20)))))
  ELSE jsonb_build_object(
    'text', repeat('A line of what was found. ', 16), 'call_id', 'call-' || n - 1,
    'tool_name', 'Note') END,
  clock_timestamp()
FROM generate_series(2, %(length)s + 1) AS n
"""


def measure(report: Report, folder: Path, *, count: int, concurrency: int) -> None:
    """Add the time of resuming for each length, in a worker, and of loading alone."""
    # An answer that needs no script: the last thing that it was told.
    agent = runs.a_free_agent(model="scripted:echo")
    with worker(folder, concurrency=concurrency), contextlib.closing(runs.Hearing(_EVENTS)) as ear:
        for length in LENGTHS:
            times = [_resume(agent, length, ear) for _ in range(count + 1)][1:]
            aim = AIM_MILLISECONDS if length == LENGTHS[-1] else None
            for label, share in (("p50", 0.5), ("p99", 0.99)):
                value = percentile(times, share) * 1000
                name = f"resume with {length:,} entries, {label}"
                report.add(Figure(PART, name, value, "ms", _WHAT, aim))
    for parts in (1, 10):
        value = percentile([_load(agent, LENGTHS[-1], parts) for _ in range(count)], 0.5) * 1000
        name = f"load {LENGTHS[-1]:,} entries, a line of {parts}, p50"
        report.add(Figure(PART, name, value, "ms", "of so many executions; one statement"))


def _resume(agent: Agent, length: int, ear: runs.Hearing) -> float:
    """Seconds from its dispatch to the word of its end."""
    execution = _with_entries(agent, length)
    ear.catch_up()
    _let(agent, is_paused=False)
    begun = time.monotonic()
    dispatch(execution.organization_id)
    ear.wait_for_end(execution.id)
    return time.monotonic() - begun


def _with_entries(agent: Agent, length: int) -> Execution:
    """A queued execution with so many entries behind its prompt; its agent stays paused."""
    _let(agent, is_paused=True)
    execution = a_run(agent)
    with connection.cursor() as cursor:
        cursor.execute(_FILL, {"id": execution.id, "length": length})
    Execution.objects.filter(pk=execution.pk).update(
        position=length + 1, turn=length // 2, max_turns=length, token_budget=None
    )
    return execution


def _load(agent: Agent, length: int, parts: int) -> float:
    """Seconds to load a line of so many entries that so many executions share."""
    execution = _with_entries(agent, length)
    step = length // parts
    for number in range(1, parts):
        fork: Any = Execution.objects.get(pk=execution.pk)
        fork.id, fork.forked_from, fork.fork_position = uuid7(), execution, number * step
        fork.save(force_insert=True)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE executions_entry SET execution_id = %s "
                "WHERE execution_id = %s AND position > %s",
                [fork.id, execution.id, number * step],
            )
        execution = fork
    begun = time.monotonic()
    transcript, _ = transcripts.load(execution)
    seconds = time.monotonic() - begun
    if len(transcript.messages) != length + 1:
        raise RuntimeError(f"{len(transcript.messages)} of {length + 1} entries were loaded")
    return seconds


def _let(agent: Agent, *, is_paused: bool) -> None:
    Agent.objects.filter(pk=agent.pk).update(is_paused=is_paused)
