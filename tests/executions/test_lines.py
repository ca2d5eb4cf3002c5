"""A fork's line is its original's up to the fork, then its own: read as one, never copied."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executions import lines, transcripts
from executions.models import Entry, EntryType, Execution
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db


def grown(execution: Execution, count: int) -> None:
    """Append so many entries to its own part, each saying whose it is and where it stands."""
    for _ in range(count):
        execution.position += 1
        text = f"{execution.id} {execution.position}"
        Entry.objects.create(
            execution=execution,
            position=execution.position,
            turn=0,
            type=EntryType.MESSAGE,
            role="user",
            content={"text": text},
        )
    execution.save(update_fields=["position"])


def forked(original: Execution, at: int) -> Execution:
    row = Execution.objects.get(pk=original.pk)
    row.pk, row._state.adding = None, True
    row.forked_from, row.fork_position, row.position = original, at, at
    row.id = Execution().id
    row.save(force_insert=True)
    return row


def texts(execution: Execution) -> list[str]:
    return [message.content for message in transcripts.load(execution)[0].messages]


def first() -> Execution:
    run = a_run(an_agent(), {"say": "x"})
    Entry.objects.filter(execution=run).delete()
    run.position = 0
    return run


def test_a_fork_goes_on_where_it_was_forked() -> None:
    original = first()
    grown(original, 3)
    fork = forked(original, 2)
    grown(fork, 2)
    grown(original, 1)

    assert texts(fork) == [
        f"{original.id} 1",
        f"{original.id} 2",
        f"{fork.id} 3",
        f"{fork.id} 4",
    ]
    assert texts(original) == [f"{original.id} {n}" for n in range(1, 5)]


def test_a_fork_within_the_past_of_a_fork_shares_the_part_before_it() -> None:
    original = first()
    grown(original, 4)
    between = forked(original, 3)
    grown(between, 2)
    fork = forked(between, 2)
    grown(fork, 1)

    assert texts(fork) == [f"{original.id} 1", f"{original.id} 2", f"{fork.id} 3"]


def test_the_end_of_a_line_is_found_in_the_past_of_a_fork_that_has_nothing_yet() -> None:
    original = first()
    grown(original, 3)
    fork = forked(forked(original, 2), 2)
    second = Entry.objects.get(execution=original, position=2)

    assert lines.leaf(fork) == second.id
    assert transcripts.load(fork)[1].leaf == second.id
    assert lines.leaf(forked(original, 0)) is None


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=8
    )
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tree_of_forks_reads_as_if_each_past_had_been_copied(
    steps: list[tuple[int, int, int]],
) -> None:
    root = first()
    runs, copies = [root], {root.id: list[str]()}
    for which, count, at in steps:
        run = runs[which % len(runs)]
        grown(run, count)
        copies[run.id] += [f"{run.id} {run.position - count + n + 1}" for n in range(count)]
        fork = forked(run, at % (run.position + 1))
        runs.append(fork)
        copies[fork.id] = copies[run.id][: fork.fork_position]
    for run in runs:
        assert texts(run) == copies[run.id]
        assert [entry.content["text"] for entry in lines.entries(run)] == copies[run.id]
        assert lines.stretches(run.id)[0].execution_id == run.id


@pytest.mark.parametrize("depth", [0, 5])
def test_a_line_is_loaded_in_one_statement(depth: int) -> None:
    run: Any = first()
    grown(run, 3)
    for _ in range(depth):
        run = forked(run, run.position)
        grown(run, 2)
    asked: list[str] = []

    def look(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        assert len(texts(run)) == 3 + 2 * depth
    assert len(asked) == 1
