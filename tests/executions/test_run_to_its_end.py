"""A run on a real worker, from start to end."""

import pytest

from executions.models import Entry, Event, Execution, Status, ToolCall
from tests.processes import ended, wait_until, worker
from tests.starting import a_run, an_agent, tool

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_of_three_turns_completes_with_its_output_and_usage() -> None:
    run = a_run(
        an_agent(),
        tool("Write", path="a.txt", content="one\n"),
        tool("Bash", command="cat a.txt"),
        {"say": "done"},
    )
    with worker():
        wait_until(lambda: ended(run))
    run.refresh_from_db()
    assert not run.failure_message
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "done", 3)
    assert run.usage["requests"] == 3
    calls = list(ToolCall.objects.filter(execution=run).values_list("name", "status", "output"))
    assert [call[:2] for call in calls] == [("Write", "complete"), ("Bash", "complete")]
    assert "one" in calls[1][2]
    seqs = list(Event.objects.filter(execution=run).values_list("seq", flat=True))
    assert seqs == list(range(1, run.event_seq + 1))
    positions = list(Entry.objects.filter(execution=run).values_list("position", flat=True))
    assert positions == list(range(1, run.position + 1))
    assert run.diff["files"][0]["path"] == "a.txt"
    assert Execution.objects.filter(admitted_epoch__isnull=False).count() == 0
