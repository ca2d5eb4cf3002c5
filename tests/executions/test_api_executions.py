"""Executions are read, listed and controlled over REST, each by its own organization only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Organization, Role
from executions import actions, documents
from executions.configuration import Wish
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    PauseReason,
    Status,
    ToolCall,
)
from executions.states import move
from tests.executions.asking import conforms, refused, url
from tests.factories import (
    api_client,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_task_for,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v0/executions/agents"


def a_run(agent: Agent, prompt: str = "Do it.", **wish: Any) -> Execution:
    return actions.start(agent, Wish(prompt=prompt, **wish), by=SYSTEM)


def of(execution: Execution, tail: str = "") -> str:
    return f"{LIST}/{execution.id}{tail}"


def ended(execution: Execution, **fields: Any) -> Execution:
    """An execution that ran for 90 s and came to this end."""
    now = timezone.now()
    Execution.objects.filter(pk=execution.pk).update(
        started_at=now - timedelta(seconds=90),
        finished_at=now,
        admitted_epoch=None,
        **({"status": Status.COMPLETED, "output": "done"} | fields),
    )
    execution.refresh_from_db()
    return execution


def running(execution: Execution) -> Execution:
    now = timezone.now()
    Execution.objects.filter(pk=execution.pk).update(
        status=Status.RUNNING,
        admitted_epoch=0,
        claim_id=uuid4(),
        lease_expires_at=now + timedelta(minutes=1),
        started_at=now,
    )
    execution.refresh_from_db()
    return execution


def paused(execution: Execution, reason: PauseReason = PauseReason.OPERATOR) -> Execution:
    assert move(execution, Status.PAUSED, event="execution.paused", pause_reason=reason)
    return execution


# --- the document ------------------------------------------------------------------------------


def test_the_document_names_everything(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    task = make_task_for(agent)
    run = a_run(agent, board=task.board, task=task, priority=2, deadline_seconds=600)
    ended(run, usage={"requests": 2, "input_tokens": 30, "seconds": 1.5}, turn=2)

    document = api.get(of(run)).json()

    here = of(run)
    assert document == {
        "exec_id": str(run.id),
        "agent": str(agent.id),
        "board": str(task.board_id),
        "task": str(task.id),
        "kind": "react",
        "status": "completed",
        "input": {"prompt": "Do it."},
        "output": "done",
        "turn": 2,
        "max_turns": run.max_turns,
        "token_budget": None,
        "seconds_budget": None,
        "usage": {
            "requests": 2,
            "input_tokens": 30,
            "output_tokens": 0,
            "cached_tokens": 0,
            "by_model": [],
        },
        "recoveries": 0,
        "priority": 2,
        "created_at": stamp(run.created_at),
        "queued_at": stamp(run.queued_at),
        "started_at": stamp(run.started_at),
        "finished_at": stamp(run.finished_at),
        "duration_ms": 90_000,
        "deadline_at": stamp(run.deadline_at),
        "links": {
            "self": here,
            "events": f"{here}/events",
            "entries": f"{here}/entries",
            "checkpoints": f"{here}/checkpoints",
            "tool_calls": f"{here}/tool-calls",
            "jobs": f"{here}/jobs",
            "signals": f"{here}/signals",
            "children": f"{here}/children",
            "diff": f"{here}/diff",
            "explain": f"{here}/explain",
            "stream": f"{here}/stream",
            **{control: f"{here}/{control}" for control in documents.CONTROLS},
            "agent": f"/api/v0/agents/{agent.id}",
        },
        "review": {"status": "handing_in", "approval": None},
    }


def stamp(time: Any) -> str:
    return str(time.isoformat().replace("+00:00", "Z"))


def test_every_link_can_be_followed(api: APIClient, agent: Agent) -> None:
    links = api.get(of(a_run(agent))).json()["links"]
    asked = {links.pop(control) for control in documents.CONTROLS}
    assert {api.get(link).status_code for link in links.values()} == {200}
    assert {api.get(link).status_code for link in asked} == {405}


def test_relatives_are_named(api: APIClient, agent: Agent) -> None:
    parent, original, run = a_run(agent), a_run(agent), a_run(agent)
    relatives = {"parent": parent, "retry_of": original, "forked_from": original}
    Execution.objects.filter(pk=run.pk).update(**relatives, fork_position=1)
    document = api.get(of(run)).json()
    assert {name: document[name] for name in relatives} == {
        name: str(row.id) for name, row in relatives.items()
    }
    assert not relatives.keys() & api.get(of(parent)).json().keys()


def test_a_wait_says_what_for_and_what_of_it_is_met(api: APIClient, agent: Agent) -> None:
    run, target, due = a_run(agent), uuid4(), timezone.now() + timedelta(hours=1)
    assert move(
        run, Status.PAUSED, event="execution.paused", pause_reason="operator", wait_mode="all"
    )
    kept = {"execution": run, "wait_number": 1}
    Condition.objects.create(**kept, kind="timer", reason="model_busy", due_at=due)
    Condition.objects.create(**kept, kind="signal", name="go.*")
    Condition.objects.create(**kept, kind="job", target_id=target, met_at=timezone.now())
    nothing = {"name": None, "target": None, "reason": "", "due_at": None, "met": False}
    document = api.get(of(run)).json()
    assert document["wait"] == {
        "mode": "all",
        "conditions": [
            {**nothing, "kind": "timer", "reason": "model_busy", "due_at": stamp(due)},
            {**nothing, "kind": "signal", "name": "go.*"},
            {**nothing, "kind": "job", "target": str(target), "met": True},
        ],
    }
    conforms(api.get("/api/v0/schema/", {"format": "json"}).json(), "Execution", document)


def test_a_failure_is_told_with_its_code(api: APIClient, agent: Agent) -> None:
    run = ended(
        a_run(agent),
        status=Status.FAILED,
        output=None,
        failure_code="MODEL_ERROR",
        failure_message="It is down.",
        failure_details={"status": 529},
    )
    document = api.get(of(run)).json()
    assert document["failure"] == {
        "code": "MODEL_ERROR",
        "message": "It is down.",
        "details": {"status": 529},
    }
    assert "output" not in document


def test_a_place_in_the_queue_follows_rank(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    board = make_board(organization, max_concurrent=2)
    for _ in range(3):
        ended(a_run(agent, board=board))
    late, first = a_run(agent, board=board, priority=5), a_run(agent, board=board, priority=1)
    a_run(agent)

    assert api.get(of(first)).json()["queue"]["position"] == 1
    place = api.get(of(late)).json()["queue"]
    # Two places at 90 s each, two at once.
    assert place == {"position": 2, "estimated_wait_seconds": 90, "blocked_by": None}


def test_a_paused_agent_is_said_to_be_in_the_way(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    Agent.objects.filter(pk=agent.pk).update(is_paused=True)
    assert api.get(of(run)).json()["queue"] == {
        "position": 1,
        "estimated_wait_seconds": None,
        "blocked_by": "agent_paused",
    }


def test_documents_are_as_the_schema_says(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    runs = [
        a_run(agent, board=make_board(organization)),
        ended(a_run(agent)),
        running(a_run(agent)),
        paused(a_run(agent)),
        ended(a_run(agent), status=Status.FAILED, output=None, failure_code="TIMED_OUT"),
        ended(a_run(agent), diff=DIFF),
    ]
    for run in runs:
        conforms(schema, "Execution", api.get(of(run)).json())
        conforms(schema, "Diff", api.get(of(run, "/diff")).json())
    for row in api.get(LIST).json()["results"]:
        conforms(schema, "ListedExecution", row)
    for row in api.get(of(runs[0], "/entries")).json()["results"]:
        conforms(schema, "Entry", row)
    for row in api.get(of(runs[0], "/events")).json()["results"]:
        conforms(schema, "Event", row)


DIFF = {
    "branch": "signalbox/x",
    "base": "a" * 40,
    "commit": "b" * 40,
    "stat": {"files": 1, "additions": 1, "deletions": 0},
    "files": [
        {
            "path": "a.txt",
            "old_path": "",
            "status": "added",
            "additions": 1,
            "deletions": 0,
            "binary": False,
        }
    ],
    "patch": "+one\n",
    "cut": False,
}


def test_a_diff_is_read_and_empty_where_nothing_was_changed(api: APIClient, agent: Agent) -> None:
    changed, unchanged = ended(a_run(agent), diff=DIFF), ended(a_run(agent))

    assert api.get(of(changed, "/diff")).json() == {
        "exec_id": str(changed.id),
        "status": "completed",
        **DIFF,
    }
    assert api.get(of(unchanged, "/diff")).json()["files"] == []


# --- lists -------------------------------------------------------------------------------------


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["exec_id"] for row in answer.json()["results"]]


def test_a_list_is_newest_first_in_pages(api: APIClient, agent: Agent) -> None:
    runs = [str(a_run(agent).id) for _ in range(5)]
    page = api.get(LIST, {"limit": 3})
    assert ids(page) == runs[:1:-1]
    assert ids(api.get(page.json()["next"])) == runs[1::-1]


def test_a_list_is_filtered(api: APIClient, organization: Organization, agent: Agent) -> None:
    task = make_task_for(agent)
    other = make_agent(organization, name="Blue")
    queued = a_run(agent, "Paint the fence.", board=task.board, task=task)
    failed = ended(
        a_run(other, "Sing."), status=Status.FAILED, output=None, failure_code="TIMED_OUT"
    )
    child = a_run(other, "Hum.")
    Execution.objects.filter(pk=child.pk).update(parent=failed)
    soon = (timezone.now() + timedelta(hours=1)).isoformat()
    before = failed.created_at.isoformat()

    for query, expected in {
        "status=queued": [child, queued],
        "status=failed,running": [failed],
        f"agent={agent.id}": [queued],
        f"board={task.board_id}": [queued],
        f"task={task.id}": [queued],
        f"parent={failed.id}": [child],
        "failure_code=TIMED_OUT": [failed],
        "text=fence": [queued],
        "text=blue": [child, failed],
        f"text={failed.id}": [failed],
        f"created_after={soon.replace('+', '%2B')}": [],
        f"created_before={soon.replace('+', '%2B')}": [child, failed, queued],
        f"created_before={before.replace('+', '%2B')}": [failed, queued],
        f"created_after={before.replace('+', '%2B')}": [child, failed],
        "created_after=0001-01-01T00:00:00%2B14:00": [child, failed, queued],
        "created_before=9999-12-31T00:00:00Z": [child, failed, queued],
    }.items():
        assert ids(api.get(f"{LIST}?{query}")) == [str(run.id) for run in expected], query


def test_a_text_is_looked_for_in_the_newest_that_other_filters_leave(
    api: APIClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.filters.NEWEST", 1)
    old = ended(a_run(agent, "Paint."), status=Status.FAILED, output=None, failure_code="X")
    new = a_run(agent, "Paint.")
    assert ids(api.get(f"{LIST}?text=paint")) == [str(new.id)]
    assert ids(api.get(f"{LIST}?text=paint&status=failed")) == [str(old.id)]


@pytest.mark.parametrize(
    "query", ["status=dancing", "agent=x", "created_after=soon", "status=queued,dancing"]
)
def test_an_unknown_value_is_422(api: APIClient, query: str) -> None:
    refused(api.get(f"{LIST}?{query}"), 422, "VALIDATION_FAILED")


def test_an_unknown_parameter_is_400(api: APIClient, agent: Agent) -> None:
    for where in (LIST, url(agent), of(a_run(agent), "/events")):
        refused(api.get(f"{where}?colour=red"), 400, "UNKNOWN_PARAMETER")


def test_the_list_of_an_agent_has_its_executions_only(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    mine, _ = a_run(agent), a_run(make_agent(organization))
    assert ids(api.get(url(agent))) == [str(mine.id)]
    assert ids(api.get(url(str(agent.id)), {"status": "failed"})) == []
    refused(api.get(url("nobody")), 404, "AGENT_NOT_FOUND")
    refused(api.get(url(agent), {"agent": str(agent.id)}), 400, "UNKNOWN_PARAMETER")


def test_children_are_listed_newest_first(api: APIClient, agent: Agent) -> None:
    parent, *children = (a_run(agent) for _ in range(4))
    Execution.objects.filter(pk__in=[child.pk for child in children]).update(parent=parent)
    ended(children[0])
    expected = [str(child.id) for child in reversed(children)]
    assert ids(api.get(of(parent, "/children"))) == expected
    assert ids(api.get(of(parent, "/children"), {"status": "completed"})) == expected[-1:]
    assert ids(api.get(LIST, {"parent": str(parent.id)})) == expected
    assert ids(api.get(of(children[0], "/children"))) == []
    refused(api.get(of(parent, "/children?parent=x")), 400, "UNKNOWN_PARAMETER")
    costs = set()
    for count in (1, 3):
        with CaptureQueriesContext(connection) as asked:
            ids(api.get(of(parent, "/children"), {"limit": count}))
        costs.add(len(asked))
    assert len(costs) == 1


def test_a_list_costs_the_same_however_long_it_is(api: APIClient, agent: Agent) -> None:
    costs = []
    for count in (1, 9):
        for _ in range(count):
            paused(a_run(agent))
        api.get(LIST)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            api.get(LIST)
        costs.append(len(asked))
    assert costs[0] == costs[1]
    assert not [query for query in asked.captured_queries if "COUNT(" in query["sql"]]
    listed = next(q["sql"] for q in asked.captured_queries if '"usage"' in q["sql"])
    assert '"spec"' not in listed
    assert '"output"' not in listed
    assert '"diff"' not in listed


# --- transcripts -------------------------------------------------------------------------------


def test_events_come_in_order_and_after_a_seq(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    Event.objects.bulk_create(
        Event(execution=run, seq=seq, type="execution.turn", data={"turn": seq})
        for seq in range(2, 6)
    )
    seqs = [row["seq"] for row in api.get(of(run, "/events")).json()["results"]]
    assert seqs == [1, 2, 3, 4, 5]
    page = api.get(of(run, "/events"), {"after": 2, "limit": 2}).json()
    assert [row["seq"] for row in page["results"]] == [3, 4]
    assert [row["seq"] for row in api.get(page["next"]).json()["results"]] == [5]


def test_entries_come_in_order_without_what_the_provider_sent(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    Entry.objects.create(
        execution=run,
        position=2,
        turn=1,
        type="llm_call",
        role="assistant",
        content={"text": "Yes.", "raw": {"secret": 1}},
        usage={"requests": 1},
    )
    rows = api.get(of(run, "/entries")).json()["results"]
    assert [(row["position"], row["content"]) for row in rows] == [
        (1, {"text": "Do it."}),
        (2, {"text": "Yes."}),
    ]
    after = api.get(of(run, "/entries"), {"after": 1}).json()["results"]
    assert [row["position"] for row in after] == [2]


def test_checkpoints_and_tool_calls_are_listed(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    now = timezone.now()
    Checkpoint.objects.create(execution=run, sequence=1, position=1, turn=1, tree="abc")
    ToolCall.objects.create(
        execution=run,
        reply_position=2,
        position=1,
        turn=1,
        call_id="c1",
        name="Bash",
        arguments={"command": "ls"},
        arguments_digest="d",
        status="complete",
        output="a.txt",
        started_at=now,
        finished_at=now + timedelta(milliseconds=1500),
    )
    (checkpoint,) = api.get(of(run, "/checkpoints")).json()["results"]
    assert (checkpoint["sequence"], checkpoint["tree"]) == (1, "abc")
    (call,) = api.get(of(run, "/tool-calls")).json()["results"]
    assert (call["name"], call["status"], call["duration_ms"]) == ("Bash", "complete", 1500)
    assert call["arguments"] == {"command": "ls"}


@pytest.mark.parametrize("value", ["-1", "x", "1.5", str(2**31)])
def test_after_is_a_whole_number(api: APIClient, agent: Agent, value: str) -> None:
    run = a_run(agent)
    refused(api.get(of(run, "/events"), {"after": value}), 422, "VALIDATION_FAILED")


# --- control -----------------------------------------------------------------------------------


def test_cancelling_what_is_queued_ends_it_at_once(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    answer = api.post(of(run, "/cancel"), {"reason": "No need."})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    run.refresh_from_db()
    assert run.cancel_reason == "No need."


def test_cancelling_what_runs_is_accepted(api: APIClient, agent: Agent) -> None:
    run = running(a_run(agent))
    answer = api.post(of(run, "/cancel"), {"hard": True})
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    run.refresh_from_db()
    assert run.cancel_is_hard


def test_deleting_cancels_and_keeps_the_rows(api: APIClient, agent: Agent) -> None:
    queued, at_work = a_run(agent), running(a_run(agent))
    assert api.delete(of(queued)).json()["status"] == "cancelled"
    assert api.delete(of(at_work)).status_code == 202
    assert Execution.objects.count() == 2
    assert api.get(of(at_work)).status_code == 200


def test_a_paused_one_is_resumed_with_feedback(api: APIClient, agent: Agent) -> None:
    run = a_run(agent)
    answer = api.post(of(run, "/pause"))
    assert (answer.status_code, answer.json()["status"]) == (200, "paused")
    assert answer.json()["pause_reason"] == "operator"

    answer = api.post(of(run, "/resume"), {"feedback": "Be brief."})

    assert answer.json()["status"] == "queued"
    assert answer.json()["queue"]["position"] == 1
    texts = [row["content"]["text"] for row in api.get(of(run, "/entries")).json()["results"]]
    assert texts == ["Do it.", "Be brief."]


def test_one_at_its_turn_limit_is_extended(api: APIClient, agent: Agent) -> None:
    run = running(a_run(agent))
    assert move(
        run,
        Status.PAUSED,
        event="execution.paused",
        pause_reason=PauseReason.TURN_LIMIT,
    )
    answer = api.post(of(run, "/extend"), {"turns": 10})
    assert (answer.json()["status"], answer.json()["max_turns"]) == ("queued", run.max_turns + 10)


@pytest.mark.parametrize("turns", [0, 501, "10", None, 1.5])
def test_turns_are_counted_in_whole_numbers(api: APIClient, agent: Agent, turns: Any) -> None:
    answer = api.post(of(a_run(agent), "/extend"), {"turns": turns})
    refused(answer, 422, "VALIDATION_FAILED")


@pytest.mark.parametrize("control", ["cancel", "pause", "resume", "extend", "finish"])
def test_what_has_ended_is_not_controlled(api: APIClient, agent: Agent, control: str) -> None:
    run = ended(a_run(agent))
    body = {"turns": 1} if control == "extend" else {}
    problem = refused(api.post(of(run, f"/{control}"), body), 409, "EXECUTION_STATE")
    assert problem["allowed"]
    refused(api.delete(of(run)), 409, "EXECUTION_STATE")


@pytest.mark.parametrize("control", ["cancel", "pause", "resume", "extend", "finish"])
def test_a_field_that_is_not_known_is_422(api: APIClient, agent: Agent, control: str) -> None:
    answer = api.post(of(a_run(agent), f"/{control}"), {"colour": "red"})
    problem = refused(answer, 422, "VALIDATION_FAILED")
    assert "colour" in {error["field"] for error in problem["errors"]}


def test_a_control_with_a_key_has_its_effect_once(api: APIClient, agent: Agent) -> None:
    run = paused(a_run(agent), PauseReason.TURN_LIMIT)
    key = {"Idempotency-Key": "k"}
    first, second = (
        api.post(of(run, "/extend"), {"turns": 5}, headers=key).json() for _ in range(2)
    )
    assert first["max_turns"] == second["max_turns"] == run.max_turns + 5


# --- who may -----------------------------------------------------------------------------------

READS = tuple(f"/{path}" for path in documents.SUBJECTS.values())
CONTROLS = tuple(f"/{control}" for control in documents.CONTROLS)
BODIES = {"/extend": {"turns": 1}, "/fork": {"checkpoint": 1}}


def test_nothing_of_another_organization_is_there(api: APIClient, agent: Agent) -> None:
    stranger = client_of(make_organization())
    run = a_run(agent)
    for tail in ("", *READS):
        refused(stranger.get(of(run, tail)), 404, "NOT_FOUND")
    for tail in CONTROLS:
        refused(stranger.post(of(run, tail), BODIES.get(tail, {})), 404, "NOT_FOUND")
    refused(stranger.delete(of(run)), 404, "NOT_FOUND")
    assert ids(stranger.get(LIST)) == []
    refused(stranger.get(url(str(agent.id))), 404, "AGENT_NOT_FOUND")
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_a_viewer_reads_and_does_not_control(organization: Organization, agent: Agent) -> None:
    viewer = client_of(organization, Role.VIEWER)
    run = a_run(agent)
    assert {viewer.get(of(run, tail)).status_code for tail in ("", *READS)} == {200}
    for tail in CONTROLS:
        refused(viewer.post(of(run, tail), {}), 403, "ROLE_TOO_LOW")
    refused(viewer.delete(of(run)), 403, "ROLE_TOO_LOW")


def test_a_key_needs_the_scope_of_what_it_does(organization: Organization, agent: Agent) -> None:
    run = a_run(agent)
    reader, runner = (client_of(organization, Role.OWNER, scope) for scope in ("read", "run"))
    refused(reader.delete(of(run)), 403, "SCOPE_MISSING")
    refused(runner.get(of(run)), 403, "SCOPE_MISSING")
    assert runner.delete(of(run)).status_code == 200


def test_nobody_is_refused_everywhere(agent: Agent) -> None:
    run = a_run(agent)
    for answer in (
        api_client().get(LIST),
        api_client().get(of(run)),
        api_client().get(of(run, "/events")),
        api_client().delete(of(run)),
    ):
        refused(answer, 401, "NOT_AUTHENTICATED")


def test_what_is_not_an_id_is_404(api: APIClient) -> None:
    for name in ("x", str(uuid4())):
        refused(api.get(f"{LIST}/{name}"), 404, "NOT_FOUND")
