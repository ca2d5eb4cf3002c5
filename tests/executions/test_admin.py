"""The admin shows executions and their transcripts, controls them, and edits nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Agent, User
from executions import actions, states
from executions.configuration import Wish
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    PauseReason,
    Signal,
    Status,
    Step,
    ToolCall,
    Worktree,
)
from tests.executions.carrying import a_worker
from tests.factories import counted_queries, make_board

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser(username="root"))
    return client


def page(model: str, view: str = "changelist", *of: Any) -> str:
    return reverse(f"admin:executions_{model}_{view}", args=of)


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def a_run(agent: Agent, **wish: Any) -> Execution:
    return actions.start(agent, Wish(prompt="Do it.", **wish), by=SYSTEM)


def with_everything(agent: Agent) -> Execution:
    run = a_run(agent)
    Checkpoint.objects.create(execution=run, sequence=1, position=1, turn=1)
    Condition.objects.create(
        execution=run, wait_number=1, kind="timer", reason="busy", due_at=timezone.now()
    )
    ToolCall.objects.create(
        execution=run,
        reply_position=2,
        position=1,
        turn=1,
        call_id="c",
        name="Bash",
        arguments={"command": "ls"},
        arguments_digest="d",
        output="<b>bold</b>",
    )
    Worktree.objects.create(
        execution=run, repository="r", host="h", path="p", branch="signalbox/x", base="b"
    )
    Job.objects.create(
        execution=run, key="k", kind="test.add", digest="d", due_at=timezone.now(), input={"a": 1}
    )
    Signal.objects.create(execution=run, number=1, name="go")
    Step.objects.create(execution=run, key="k", kind="step", digest="d")
    return run


MODELS = {
    "execution": Execution,
    "entry": Entry,
    "event": Event,
    "toolcall": ToolCall,
    "job": Job,
    "checkpoint": Checkpoint,
    "condition": Condition,
    "signal": Signal,
    "step": Step,
    "worktree": Worktree,
}


@pytest.mark.parametrize("model", MODELS)
def test_every_page_loads_and_offers_no_editing(admin: Client, agent: Agent, model: str) -> None:
    run = with_everything(agent)
    row = MODELS[model]._default_manager.get()
    shown = admin.get(page(model), {"q": str(run.id)})
    assert shown.status_code == 200
    assert shown.context["cl"].result_list[0].pk == row.pk
    detail = admin.get(page(model, "change", row.pk))
    assert detail.status_code == 200
    assert b'name="_save"' not in detail.content
    assert admin.get(page(model, "add")).status_code == 403
    assert admin.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_jobs_are_cancelled_by_an_action(admin: Client, agent: Agent) -> None:
    with_everything(agent)
    chosen = {"action": "cancel", "_selected_action": [str(Job.objects.get().pk)]}
    assert said(admin.post(page("job"), chosen)) == ["Jobs cancelled: 1."]
    assert Job.objects.get().status == "cancelled"
    assert "The job is cancelled." in said(admin.post(page("job"), chosen))[-1]


def test_tool_calls_are_approved_and_rejected_by_actions(admin: Client, agent: Agent) -> None:
    call = ToolCall.objects.get(execution=with_everything(agent))
    held = {"needs_approval": True, "status": "awaiting_approval"}
    ToolCall.objects.update(**held)

    def act(name: str, **beside: str) -> list[str]:
        chosen = {"action": name, "_selected_action": [str(call.pk)], **beside}
        return said(admin.post(page("toolcall"), chosen))

    assert 'name="reason"' in admin.get(page("toolcall")).content.decode()
    assert "Write beside the action why; the model is told." in act("reject")
    assert "Tool calls rejected: 1." in act("reject", reason="Not on a Friday.")
    call.refresh_from_db()
    assert (call.decision, call.decision_reason, call.decider_name) == (
        "rejected",
        "Not on a Friday.",
        "root",
    )
    assert "The call is decided already." in act("approve")[-1]
    ToolCall.objects.update(decision="", decided_at=None, **held)
    assert "Tool calls approved: 1." in act("approve")
    shown = admin.get(page("toolcall", "change", call.pk)).content.decode()
    assert "&quot;command&quot;: &quot;ls&quot;" in shown


def test_who_may_only_look_at_calls_decides_on_none(client: Client, agent: Agent) -> None:
    person = User.objects.create_user("looker", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_toolcall"))
    client.force_login(person)
    call = ToolCall.objects.get(execution=with_everything(agent))
    ToolCall.objects.update(needs_approval=True, status="awaiting_approval")
    client.post(page("toolcall"), {"action": "approve", "_selected_action": [str(call.pk)]})
    call.refresh_from_db()
    assert call.decision == ""


def test_workers_are_listed(admin: Client) -> None:
    worker = a_worker()
    assert worker.name in admin.get(page("worker")).content.decode()


@pytest.mark.parametrize("model", ["execution", "entry", "event"])
def test_a_list_costs_the_same_however_long_it_is(admin: Client, agent: Agent, model: str) -> None:
    costs = []
    for count in (1, 9):
        for _ in range(count):
            a_run(agent, board=make_board(agent.organization))
        admin.get(page(model))
        with counted_queries() as asked:
            admin.get(page(model))
        costs.append(len(asked))
    assert costs[0] == costs[1]
    listed = [query["sql"] for query in asked.captured_queries]
    assert not [sql for sql in listed if "COUNT(" in sql and "LIMIT" not in sql]


def test_the_page_of_an_execution_links_to_its_rows(admin: Client, agent: Agent) -> None:
    run, other = with_everything(agent), a_run(agent)
    content = admin.get(page("execution", "change", run.pk)).content.decode()
    for model in ("entry", "event", "toolcall", "checkpoint"):
        link = f"{page(model)}?execution__id__exact={run.pk}"
        assert link in content
        rows = admin.get(link).context["cl"].result_list
        assert {row.execution_id for row in rows} == {run.pk}
    assert Event.objects.filter(execution=other).exists()


def test_values_of_the_environment_are_not_shown(admin: Client, agent: Agent) -> None:
    board = make_board(agent.organization, environment={"TOKEN": "hunter2"})
    run = a_run(agent, board=board)
    content = admin.get(page("execution", "change", run.pk)).content.decode()
    assert "TOKEN" in content
    assert "hunter2" not in content


def act(admin: Client, name: str, *runs: Execution, **beside: str) -> Any:
    body = {"action": name, "_selected_action": [str(run.pk) for run in runs], **beside}
    return admin.post(page("execution"), body)


def test_executions_are_paused_resumed_and_cancelled(admin: Client, agent: Agent) -> None:
    runs = a_run(agent), a_run(agent)
    for name, status in [
        ("pause", Status.PAUSED),
        ("resume", Status.QUEUED),
        ("cancel", Status.CANCELLED),
    ]:
        act(admin, name, *runs)
        assert set(Execution.objects.values_list("status", flat=True)) == {status}


def test_something_is_said_to_executions(admin: Client, agent: Agent) -> None:
    run, ended = a_run(agent), actions.cancel(a_run(agent), by=SYSTEM)
    assert "Write beside the action what to say." in said(act(admin, "say", run))
    told = said(act(admin, "say", run, ended, said="Use the small hammer."))
    assert "Executions told: 1." in told
    assert any("is cancelled" in text for text in told)
    signal = Signal.objects.get()
    assert (signal.name, signal.value) == ("message", {"text": "Use the small hammer."})
    assert signal.sender_name == "root"
    assert 'name="said"' in admin.get(page("execution")).content.decode()


def test_executions_at_their_limit_are_extended_and_finished(admin: Client, agent: Agent) -> None:
    for name, status in [("extend", Status.QUEUED), ("finish", Status.COMPLETED)]:
        run = a_run(agent)
        reason = PauseReason.TURN_LIMIT
        assert states.move(run, Status.PAUSED, event="execution.paused", pause_reason=reason)
        act(admin, name, run)
        run.refresh_from_db()
        assert run.status == status


def test_executions_are_retried_and_forked(admin: Client, agent: Agent) -> None:
    run = actions.cancel(with_everything(agent), by=SYSTEM)
    assert any("no checkpoint" in text for text in said(act(admin, "fork", run)))
    Execution.objects.filter(pk=run.pk).update(checkpoint=1)
    assert "Executions forked: 1." in said(act(admin, "fork", run))
    assert "Executions retried: 1." in said(act(admin, "retry", run))
    fork, again = (Execution.objects.get(**{name: run}) for name in ("forked_from", "retry_of"))
    assert (fork.fork_position, again.status) == (1, Status.QUEUED)
    assert any("only what has ended" in text for text in said(act(admin, "retry", again)))
    content = admin.get(page("execution", "change", fork.pk)).content.decode()
    assert str(run.pk) in content


def test_the_page_of_an_execution_says_why_it_does_not_run(admin: Client, agent: Agent) -> None:
    run = a_run(agent)
    content = admin.get(page("execution", "change", run.pk)).content.decode()
    assert "No live worker takes work of the queue executions." in content


def test_a_refusal_is_a_message_and_the_others_are_done(admin: Client, agent: Agent) -> None:
    done, ended = a_run(agent), actions.cancel(a_run(agent), by=SYSTEM)
    messages = said(act(admin, "cancel", done, ended))
    assert any("is cancelled" in text and str(ended.id) in text for text in messages)
    assert "Executions cancelled: 1." in messages


def test_who_may_only_look_is_offered_no_control(client: Client, agent: Agent) -> None:
    person = User.objects.create_user("looker", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_execution"))
    client.force_login(person)
    run = a_run(agent)
    act(client, "cancel", run)
    run.refresh_from_db()
    assert run.status == Status.QUEUED
