"""Children: spawned once, joined, signalled up and down, and ended with their parent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Agent, Role
from agents.runtime import kinds
from agents.runtime.context import AgentContext, ChildHandle, JobHandle, Rejected, Spawn
from agents.runtime.kinds import agent_kind
from executions import actions, signals
from executions.engine import children
from executions.engine.sweep import sweep
from executions.errors import NotCancellable
from executions.models import Condition, Execution, Job, Signal, Status, Step
from tests.executions.carrying import drive
from tests.executions.kinds import an_agent_of, begun, told
from tests.factories import API, client_of
from tests.starting import an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def of(function: Callable[..., Any], **fields: Any) -> Execution:
    agent_kind("t.parent")(function)
    run = begun(an_agent_of("t.parent", **fields))
    drive(run)
    return run


def children_of(run: Execution) -> list[Execution]:
    return list(Execution.objects.filter(parent=run).order_by("id"))


def an_echo(parent_of: Agent) -> Agent:
    return an_agent_of("example.echo", organization=parent_of.organization)


def test_numbers_are_added_up_in_children_of_children() -> None:
    run = begun("example.map_reduce", {"numbers": list(range(1, 10)), "share": 4})
    drive(run)
    assert run.status == Status.WAITING
    for child in children_of(run):
        drive(child)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"sum": 45})
    assert [child.depth for child in children_of(run)] == [1, 1, 1]
    assert told(run).count("child.spawned") == told(run).count("child.finished") == 3
    assert Signal.objects.filter(execution=run, name="part.done").count() == 3


def test_a_child_that_is_spawned_again_after_a_loss_is_the_same_child() -> None:
    def kind(context: AgentContext) -> str:
        child = context.spawn("one", Spawn(agent="t-echo", values={"text": "x"}))
        context.wait_for_signal("go", "go")
        return str(child.id)

    agent_kind("t.parent")(kind)
    parent = an_agent_of("t.parent")
    an_agent_of("example.echo", organization=parent.organization, slug="t-echo")
    run = begun(parent)
    drive(run)
    signals.send(run, name="go", by=SYSTEM)
    drive(run)
    (child,) = children_of(run)
    assert run.output == str(child.id)


def test_a_child_that_fails_is_told_with_its_reason() -> None:
    def kind(context: AgentContext) -> Any:
        if context.parent_id is not None:
            raise RuntimeError("no fuel")
        (result,) = context.join_children("all", [context.spawn("one", Spawn())])
        return [result.status, result.failure_message]

    run = of(kind, max_concurrency=None)
    drive(children_of(run)[0])
    drive(run)
    assert run.output == ["failed", "RuntimeError: no fuel"]


def test_signals_go_down_and_up_once() -> None:
    def kind(context: AgentContext) -> Any:
        if context.parent_id is not None:
            told = context.wait_for_signal("told", "order")
            assert told is not None
            context.signal_parent("report", "report", {"did": told.value})
            return told.value
        child = context.spawn("one", Spawn())
        context.signal_child("order", child, "order", "dig")
        report = context.wait_for_signal("report", "report")
        context.join_children("all", [child])
        assert report is not None
        return report.value

    run = of(kind, max_concurrency=None)
    (child,) = children_of(run)
    drive(child)
    assert child.output == "dig"
    drive(run)
    assert run.output == {"did": "dig"}
    assert Signal.objects.count() == 2


def test_a_signal_that_is_refused_is_not_taken_as_sent() -> None:
    def kind(context: AgentContext) -> Any:
        child = context.spawn("one", Spawn(agent="t-echo", values={"text": "x"}))
        context.join_children("all", [child])
        refused = []
        for _ in range(2):
            try:
                context.signal_child("late", child, "order", "dig")
            except Rejected as error:
                refused.append(error.code)
        return refused

    agent_kind("t.parent")(kind)
    parent = an_agent_of("t.parent")
    an_agent_of("example.echo", organization=parent.organization, slug="t-echo")
    run = begun(parent)
    drive(run)
    drive(children_of(run)[0])
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, ["EXECUTION_STATE"] * 2)
    assert not Step.objects.filter(execution=run, key="late").exists()


def test_a_cancelled_parent_ends_its_children_and_theirs() -> None:
    def kind(context: AgentContext) -> None:
        if context.prompt != "leaf":
            word = "leaf" if context.parent_id else "branch"
            made = [context.spawn(str(n), Spawn(prompt=word)) for n in range(2)]
            context.join_children("all", made)
        context.wait_for_signal("never", "never")

    run = of(kind, max_concurrency=None)
    for branch in children_of(run):
        drive(branch)
        for leaf in children_of(branch):
            drive(leaf)
    actions.cancel(run, by=SYSTEM)
    assert set(Execution.objects.values_list("status", flat=True)) == {Status.CANCELLED}
    assert Execution.objects.count() == 7
    sweep()
    assert set(Execution.objects.values_list("status", flat=True)) == {Status.CANCELLED}


def test_the_sweep_finishes_a_cascade_and_tells_a_parent_that_nobody_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kind(context: AgentContext) -> Any:
        if context.parent_id is not None:
            return context.prompt == "wait" and context.wait_for_signal("never", "never")
        made = [context.spawn("a", Spawn(prompt="end")), context.spawn("b", Spawn(prompt="wait"))]
        return [each.status for each in context.join_children("first", made[:1])]

    from executions.engine import ends

    run = of(kind, max_concurrency=None)
    ending, waiting = children_of(run)
    drive(waiting)
    with monkeypatch.context() as dying:
        dying.setattr(ends, "_followers", [])
        drive(ending)
    run.refresh_from_db()
    assert (run.status, ending.status) == (Status.WAITING, Status.COMPLETED)
    sweep()
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    sweep()
    assert told(run).count("child.finished") == 1
    with monkeypatch.context() as dying:
        dying.setattr(ends, "_followers", [])
        actions.cancel(run, by=SYSTEM)
    sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELLED


def test_a_child_that_ends_after_its_parent_changes_nothing_there() -> None:
    def kind(context: AgentContext) -> str:
        if context.parent_id is None:
            context.spawn("one", Spawn())
            return "gone"
        return "late"

    run = of(kind, max_concurrency=None)
    before = told(run)
    assert before[-1] == "execution.completed"
    (child,) = children_of(run)
    drive(child)
    assert child.status == Status.COMPLETED
    assert told(run) == before


def test_a_family_has_an_end_below() -> None:
    def kind(context: AgentContext) -> str:
        try:
            context.spawn("one", Spawn())
        except Rejected as refused:
            return refused.code
        return "spawned"

    agent_kind("t.parent")(kind)
    run = begun(an_agent_of("t.parent"))
    Execution.objects.filter(pk=run.pk).update(depth=children.DEEPEST)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "TOO_DEEP")
    assert not children_of(run)


def test_agents_and_children_of_others_are_not_there() -> None:
    stranger = an_agent_of("example.echo", organization=an_organization())
    other = begun("example.conversation")

    def kind(context: AgentContext) -> list[str]:
        codes = []
        for attempt in (
            lambda: context.spawn("one", Spawn(agent=str(stranger.id))),
            lambda: context.signal_child("two", ChildHandle(other.id, "x"), "say", "hello"),
            lambda: context.cancel_child("three", ChildHandle(other.id, "x")),
        ):
            try:
                attempt()
            except Rejected as refused:
                codes.append(refused.code)
        return codes

    run = of(kind)
    assert run.output == ["AGENT_NOT_FOUND", "CHILD_NOT_FOUND", "CHILD_NOT_FOUND"]
    other.refresh_from_db()
    assert (other.status, other.signals_pending) == (Status.QUEUED, 0)


def test_nobody_waits_for_what_is_of_another_organization() -> None:
    stranger = an_agent_of("example.pipeline", organization=an_organization())
    other = begun(stranger, {"texts": ["one two"]})
    drive(other)
    theirs = JobHandle(Job.objects.get(execution=other).id, "x")

    def kind(context: AgentContext) -> list[str]:
        codes = []
        for attempt in (
            lambda: context.join_children("one", [ChildHandle(other.id, "x")]),
            lambda: context.join_all_settled("two", [theirs]),
            lambda: context.select_ok("three", [theirs]),
            lambda: context.cancel_job("four", theirs),
        ):
            try:
                attempt()
            except Rejected as refused:
                codes.append(refused.code)
        return codes

    run = of(kind)
    assert run.output == ["CHILD_NOT_FOUND", *["JOB_NOT_FOUND"] * 3], run.failure_message


def test_a_claim_that_is_gone_cancels_neither_children_nor_jobs() -> None:
    def kind(context: AgentContext) -> None:
        child = context.spawn("child", Spawn(agent="t-talk"))
        job = context.schedule_job("job", "example.count_words", "one two")
        Execution.objects.filter(pk=context.execution_id).update(
            lease_expires_at=timezone.now() - timedelta(hours=1)
        )
        sweep()
        if context.input["what"] == "child":
            context.cancel_child("stop", child)
        else:
            context.cancel_job("stop", job)

    agent_kind("t.parent")(kind)
    parent = an_agent_of("t.parent", max_concurrency=None)
    an_agent_of("example.conversation", organization=parent.organization, slug="t-talk")
    for what in ("child", "job"):
        run = begun(parent, {"what": what})
        drive(run)
        assert [child.status for child in children_of(run)] == [Status.QUEUED]
        assert [job.status for job in run.jobs.all()] == ["queued"]


def test_a_cancelled_child_wakes_the_parent_that_joins_it() -> None:
    def kind(context: AgentContext) -> Any:
        if context.parent_id is not None:
            context.wait_for_signal("never", "never")
        child = context.spawn("one", Spawn())
        if context.has_signal("enough"):
            context.cancel_child("stop", child, reason="enough")
        return [each.status for each in context.join_children("all", [child])]

    run = of(kind, max_concurrency=None)
    (child,) = children_of(run)
    drive(child)
    actions.cancel(child, by=SYSTEM)
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    assert not Condition.objects.filter(execution=run).exists()
    drive(run)
    assert run.output == ["cancelled"]


def test_a_parent_shows_what_its_family_has_used() -> None:
    def kind(context: AgentContext) -> str:
        if context.prompt != "leaf":
            context.spawn("one", Spawn(prompt="" if context.parent_id is None else "leaf"))
        return "done"

    run = of(kind, max_concurrency=None)
    (child,) = children_of(run)
    drive(child)
    (leaf,) = children_of(child)
    used = {"requests": 1, "input_tokens": 10, "output_tokens": 2, "cached_tokens": 0}
    Execution.objects.filter(pk__in=[child.pk, leaf.pk]).update(usage=used)
    reader = client_of(run.organization, Role.VIEWER)
    document = reader.get(f"{API}/executions/agents/{run.id}").json()
    assert document["usage_of_children"] == {
        "executions": 2, "requests": 2, "input_tokens": 20, "output_tokens": 4, "cached_tokens": 0,
    }  # fmt: skip
    assert document["usage"]["requests"] == 0
    assert "usage_of_children" not in reader.get(f"{API}/executions/agents/{leaf.id}").json()


def test_a_kind_that_is_not_to_be_cancelled_ends_by_itself_or_hard() -> None:
    def kind(context: AgentContext) -> list[str]:
        run, codes = Execution.objects.get(pk=context.execution_id), []
        for is_hard in (False, True):
            try:
                actions.cancel(run, by=SYSTEM, is_hard=is_hard)
            except NotCancellable as refused:
                codes.append(refused.code)
        context.append_entry("told", str(codes))
        return codes

    agent_kind("t.steady", cancellable=False)(kind)
    run = begun("t.steady")
    drive(run)
    assert run.status == Status.CANCELLED
    assert [event for event in told(run) if "cancel" in event] == [
        "execution.cancelling",
        "execution.cancelled",
    ]
