"""A run that does everything that can be interrupted between two commits, and its only end."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from agents.runtime.context import AgentContext, Spawn
from agents.runtime.jobs import job
from agents.runtime.kinds import agent_kind
from executions.models import (
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    JobStatus,
    Signal,
    Status,
    Step,
)

OUTPUT = {
    "steps": ["first", "second"],
    "doubled": [2, 4],
    "said": "hello",
    "children": [1, 2],
    "hello": [1, 2],
}
# What its steps did to the world, by key: this process's memory of it.
DONE: list[str] = []


@job("t.double", max_retries=2)
def double(number: int) -> int:
    """Twice the number."""
    return number * 2


def _noted(key: str) -> str:
    DONE.append(key)
    return key


@agent_kind("t.everything")
def everything(context: AgentContext) -> dict[str, Any]:
    """Steps, jobs, children, signals both ways, a checkpoint, entries, and waits between them."""
    if context.prompt == "child":
        number = int(context.input["n"])
        context.signal_parent("hello", "from.child", number)
        return {"n": number}
    first = context.step("first", lambda: _noted("first"), repeatable=True)
    jobs = [context.schedule_job(f"job-{n}", "t.double", n) for n in (1, 2)]
    made = [context.spawn(f"child-{n}", Spawn(prompt="child", values={"n": n})) for n in (1, 2)]
    context.checkpoint("begun", {"first": first})
    doubled = context.join_all("doubled", jobs)
    said = context.wait_for_signal("said", "say")
    context.append_entry("heard", f"heard {said.value}" if said else "heard nothing")
    ended = context.join_children("ended", made)
    second = context.step("second", lambda: _noted("second"), repeatable=True)
    hello = sorted(signal.value for signal in context.drain_signals("hello", "from.*"))
    return {
        "steps": [first, second],
        "doubled": doubled,
        "said": said and said.value,
        "children": [result.output["n"] for result in ended],
        "hello": hello,
    }


def assert_as_without_a_death(run: Execution, at: object) -> None:
    assert (run.status, run.output) == (Status.COMPLETED, OUTPUT), (at, run.failure_message)
    mine = Execution.objects.filter(parent=run)
    assert mine.count() == 2
    assert Job.objects.filter(execution=run, status=JobStatus.COMPLETED).count() == 2
    assert Entry.objects.filter(execution=run).count() == 1
    sent = Counter(Signal.objects.filter(execution=run).values_list("name", flat=True))
    assert sent == {"say": 1, "from.child": 2}
    assert not Signal.objects.filter(execution=run, consumed_at=None).exists()
    assert run.signals_pending == 0
    assert not Condition.objects.filter(execution=run).exists()
    assert not Step.objects.filter(execution=run, finished_at=None).exists()
    for execution in (run, *mine):
        seqs = list(Event.objects.filter(execution=execution).values_list("seq", "type"))
        assert [seq for seq, _ in seqs] == list(range(1, len(seqs) + 1))
        told = Counter(kind for _, kind in seqs)
        assert told["execution.completed"] == 1
        assert seqs[-1][1] == "execution.completed"
    told = Counter(Event.objects.filter(execution=run).values_list("type", flat=True))
    assert told["child.spawned"] == told["child.finished"] == 2
    assert told["job.scheduled"] == told["job.completed"] == 2


@agent_kind("t.busy")
def busy(context: AgentContext) -> None:
    """Spawn children that work until they are cancelled, and wait for them."""
    wanted = int(context.input.get("children", 0))
    made = [context.spawn(f"child-{n}", Spawn(values={"children": 0})) for n in range(wanted)]
    if made:
        context.join_children("all", made)
    while not made:
        context.check_cancelled()
        time.sleep(0.02)
