"""What a worker outside writes into the line: entries, turns, usage, calls, checkpoints, jobs."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import pytest

from agents.activity import SYSTEM
from agents.models import Role
from config.asgi import application
from executions import actions
from executions.models import Checkpoint, Entry, Event, Execution, Job, ToolCall
from tests.agents.rest.serving import serving
from tests.executions import example_jobs  # noqa: F401  Registers the jobs below.
from tests.executions.asking import refused
from tests.executions.polling import BASE, ByHand, a_remote_agent, a_remote_run, worker_client
from tests.executions.test_dispatch_fence import lapse
from tests.factories import all_at_once, client_of, make_key
from tests.starting import an_organization
from tests.streaming import a_server

pytestmark = pytest.mark.django_db(transaction=True)

KIND = "test.fail"
USAGE = {"model": "local:llama", "input_tokens": 30, "output_tokens": 7}


@pytest.fixture
def claimed() -> ByHand:
    organization = an_organization()
    a_remote_run(a_remote_agent(organization, max_turns=5))
    return ByHand(worker_client(organization))


def texts() -> list[str]:
    return [entry.content["text"] for entry in Entry.objects.order_by("position")]


def events(kind: str) -> list[dict[str, Any]]:
    return list(Event.objects.filter(type=kind).order_by("seq").values_list("data", flat=True))


def test_entries_come_after_the_last_one(claimed: ByHand) -> None:
    first = claimed.say("one")["entries"]
    told = claimed.told("entries", entries=[{"text": "two"}, {"text": "three"}])
    assert [entry["position"] for entry in first + told["entries"]] == [2, 3, 4]
    assert texts() == ["Greet.", "one", "two", "three"]
    rows = list(Entry.objects.order_by("position"))
    assert [row.parent_id for row in rows[1:]] == [row.id for row in rows[:-1]]
    assert claimed.row.position == 4


def test_a_parent_that_is_not_the_last_is_refused(claimed: ByHand) -> None:
    leaf = claimed.claimed["leaf"]
    claimed.say("one", parent_id=leaf)
    problem = refused(
        claimed.send("entries", entries=[{"text": "two"}], parent_id=leaf), 409, "ENTRY_NOT_LEAF"
    )
    assert problem["leaf"] == str(Entry.objects.get(position=2).pk)
    unknown = claimed.send("entries", entries=[{"text": "two"}], parent_id=str(uuid4()))
    refused(unknown, 404, "ENTRY_NOT_FOUND")
    assert texts() == ["Greet.", "one"]


def test_two_that_append_after_the_same_entry(claimed: ByHand) -> None:
    leaf = claimed.claimed["leaf"]
    answers = all_at_once(
        *[lambda: claimed.send("entries", entries=[{"text": "x"}], parent_id=leaf)] * 4
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert texts() == ["Greet.", "x"]


def test_a_key_appends_once(claimed: ByHand) -> None:
    asked = {"idempotency_key": "a", "entries": [{"text": "one"}, {"text": "two"}]}
    first = claimed.told("entries", **asked)
    again = claimed.told("entries", **asked)
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert first["entries"] == again["entries"]
    assert texts() == ["Greet.", "one", "two"]
    other = claimed.send("entries", idempotency_key="a", entries=[{"text": "three"}])
    refused(other, 422, "IDEMPOTENCY_MISMATCH")


def test_a_key_appends_once_whichever_claim_sends_it(claimed: ByHand) -> None:
    first = claimed.say("one", idempotency_key="a", parent_id=claimed.claimed["leaf"])
    lapse(claimed)
    other = ByHand(claimed.client)
    again = other.say("one", idempotency_key="a", parent_id=other.claimed["leaf"])
    assert first["entries"] == again["entries"]
    assert texts() == ["Greet.", "one"]


def test_a_key_at_the_same_moment_appends_once(claimed: ByHand) -> None:
    answers = all_at_once(*[lambda: claimed.say("one", idempotency_key="a")] * 5)
    assert sorted(answer["repeated"] for answer in answers) == [False, True, True, True, True]
    assert texts() == ["Greet.", "one"]


def test_all_entries_of_a_request_are_appended_or_none(claimed: ByHand) -> None:
    wrong = [{"text": "one", "turn": 2}, {"text": "two", "turn": 1}]
    refused(claimed.send("entries", entries=wrong), 422, "VALIDATION_FAILED")
    assert texts() == ["Greet."]


def test_a_reply_begins_a_turn_and_its_usage_is_counted(claimed: ByHand) -> None:
    reply = {"type": "llm_call", "text": "Hm.", "usage": USAGE}
    told = claimed.told("entries", entries=[reply])
    told = claimed.told("entries", entries=[reply, {"text": "go on"}])
    assert told["remaining"]["turns"] == 3
    row = claimed.row
    assert row.turn == 2
    assert (row.usage["requests"], row.usage["input_tokens"]) == (2, 60)
    assert row.usage["by_model"] == [
        {**USAGE, "requests": 2, "input_tokens": 60, "output_tokens": 14, "cached_tokens": 0}
    ]
    assert [event["turn"] for event in events("execution.turn")] == [1, 2]
    assert list(Entry.objects.order_by("position").values_list("turn", flat=True)) == [0, 1, 2, 2]


def test_turns_that_the_worker_counts_itself(claimed: ByHand) -> None:
    claimed.told("entries", entries=[{"text": "x", "turn": 4}])
    assert claimed.row.turn == 4
    assert events("agent.turn_warning") == [{"turn": 4, "max_turns": 5, "limit": "turns"}]
    told = claimed.told("entries", entries=[{"text": "y", "turn": 5}])
    assert (told["pause"], told["remaining"]["turns"]) == ("turn_limit", 0)


def test_calls_of_tools_are_in_the_ledger(claimed: ByHand) -> None:
    request = {"call_id": "c1", "name": "Search", "arguments": {"for": "x"}}
    claimed.told("entries", entries=[{"type": "llm_call", "tool_requests": [request]}])
    call = ToolCall.objects.get()
    assert (call.name, call.status, call.arguments) == ("Search", "prepared", {"for": "x"})
    result = {"type": "tool_result", "call_id": "c1", "text": "42" * 50_000, "outcome": "error"}
    claimed.told("entries", entries=[result])
    call.refresh_from_db()
    assert (call.status, len(call.output.encode()) <= 64 * 1024) == ("error", True)
    assert len(Entry.objects.order_by("position").last().content["text"]) == 100_000
    assert [event["outcome"] for event in events("tool.finished")] == ["error"]


def test_what_is_to_be_cancelled_takes_outcomes_of_tools_alone(claimed: ByHand) -> None:
    request = {"call_id": "c1", "name": "Search"}
    claimed.told("entries", entries=[{"type": "llm_call", "tool_requests": [request]}])
    actions.cancel(claimed.row, by=SYSTEM)
    problem = refused(claimed.send("entries", entries=[{"text": "x"}]), 409, "EXECUTION_STATE")
    assert problem["execution_status"] == "cancelling"
    told = claimed.told("entries", entries=[{"type": "tool_result", "call_id": "c1"}])
    assert told["cancel"] is True
    assert ToolCall.objects.get().status == "complete"
    for call, body in [
        ("checkpoints", {"sequence": 1, "state": {}}),
        ("jobs", {"jobs": [{"key": "a", "kind": "triple"}]}),
    ]:
        refused(claimed.send(call, **body), 409, "EXECUTION_STATE")


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "llm_call", "role": "user"},
        {"type": "tool_result", "text": "x"},
        {"role": "user", "tool_requests": [{"call_id": "a", "name": "b"}]},
        {"text": "a\u0000b"},
        {"text": 1},
        {"type": "unheard-of"},
        {"turn": -1},
        {"usage": {"input_tokens": -1}},
    ],
)
def test_an_entry_that_cannot_be_is_refused(claimed: ByHand, entry: dict[str, Any]) -> None:
    refused(claimed.send("entries", entries=[entry]), 422, "VALIDATION_FAILED")


def test_entries_are_read_as_lines_after_a_position(claimed: ByHand) -> None:
    for at in range(0, 1200, 50):
        claimed.told("entries", entries=[{"text": f"{at + n}"} for n in range(50)])
    key = make_key(claimed.row.organization, Role.OPERATOR, ("dispatch",))[1]
    with a_server() as server:
        connected = HTTPConnection(server.host, server.port, timeout=30)
        path = f"{BASE}/{claimed.id}/entries?epoch={claimed.epoch}"
        for query, first, count in (("", 1, 1201), ("&after=1195", 1196, 6), ("&after=1201", 0, 0)):
            connected.request("GET", path + query, headers={"Authorization": f"Bearer {key}"})
            answer = connected.getresponse()
            assert answer.headers["Content-Type"] == "application/jsonl"
            lines = [json.loads(line) for line in answer.read().splitlines()]
            assert [line["position"] for line in lines] == list(range(first, first + count))


def test_a_fork_has_its_past_and_goes_on_from_the_checkpoint(claimed: ByHand) -> None:
    claimed.say("one", idempotency_key="a")
    claimed.told("checkpoints", sequence=1, state={"at": 1})
    claimed.say("two")
    claimed.told("complete")
    actions.fork(claimed.row, checkpoint=1, text="Again.", by=SYSTEM)
    fork = ByHand(claimed.client)
    assert fork.id != claimed.id
    assert (fork.claimed["checkpoint"]["sequence"], fork.claimed["checkpoint"]["state"]) == (
        1,
        {"at": 1},
    )
    assert lines_of(fork) == ["Greet.", "one", "Again."]
    # What the past has done already is not done again.
    assert fork.say("one", idempotency_key="a")["repeated"] is True
    past = str(Entry.objects.get(position=2, execution=claimed.id).pk)
    answer = fork.send("entries", entries=[{"text": "x"}], parent_id=past)
    refused(answer, 409, "ENTRY_NOT_LEAF")
    assert fork.say("three", parent_id=fork.claimed["leaf"])["entries"][0]["position"] == 4


def lines_of(claimed: ByHand) -> list[str]:
    key = make_key(claimed.row.organization, Role.OPERATOR, ("dispatch",))[1]
    with a_server() as server:
        connected = HTTPConnection(server.host, server.port, timeout=30)
        path = f"{BASE}/{claimed.id}/entries?epoch={claimed.epoch}"
        connected.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        lines = connected.getresponse().read().splitlines()
    return [json.loads(line)["content"]["text"] for line in lines]


def test_an_execution_without_an_agent_can_be_remote(claimed: ByHand) -> None:
    claimed.told("complete")
    api = client_of(claimed.row.organization)
    body = {"kind": "remote", "prompt": "Do it.", "max_turns": 2}
    answer = api.post("/api/v0/executions/agents", body)
    assert answer.status_code == 202, answer.content
    inline = ByHand(claimed.client, kinds=["remote"])
    assert (inline.id, inline.claimed["agent"]["id"]) == (answer.json()["exec_id"], None)
    assert inline.claimed["remaining"]["turns"] == 2
    inline.told("heartbeat")
    inline.told("complete")


# --- checkpoints


def test_checkpoints_are_numbered_one_by_one(claimed: ByHand) -> None:
    told = claimed.told("checkpoints", sequence=1, state={"at": 1})
    assert told["sequence"] == 1
    for sequence in (1, 3):
        asked = claimed.send("checkpoints", sequence=sequence, state={"at": 9})
        assert refused(asked, 409, "CHECKPOINT_OUT_OF_ORDER")["last"] == 1
    claimed.say("one")
    claimed.told("checkpoints", sequence=2, state={"at": 2})
    found = claimed.get("checkpoint").json()
    assert (found["sequence"], found["position"], found["state"]) == (2, 2, {"at": 2})
    assert [event["sequence"] for event in events("execution.checkpoint")] == [1, 2]
    assert Checkpoint.objects.count() == 2


def test_two_that_keep_the_same_checkpoint(claimed: ByHand) -> None:
    answers = all_at_once(*[lambda: claimed.send("checkpoints", sequence=1, state={})] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


# --- jobs


def test_jobs_are_scheduled_once_for_a_key(claimed: ByHand) -> None:
    asked = {"jobs": [{"key": "a", "kind": KIND, "input": [1]}, {"key": "b", "kind": KIND}]}
    first, again = claimed.told("jobs", **asked), claimed.told("jobs", **asked)
    assert first["jobs"] == again["jobs"]
    assert Job.objects.filter(execution=claimed.id).count() == 2
    assert [event["key"] for event in events("job.scheduled")] == ["a", "b"]
    other = claimed.send("jobs", jobs=[{"key": "a", "kind": KIND, "input": [2]}])
    refused(other, 422, "IDEMPOTENCY_MISMATCH")
    refused(claimed.send("jobs", jobs=[{"key": "c", "kind": "none"}]), 422, "JOB_KIND_UNKNOWN")


def test_jobs_come_all_or_none(claimed: ByHand) -> None:
    asked = {"jobs": [{"key": "a", "kind": KIND}, {"key": "b", "kind": "none"}]}
    refused(claimed.send("jobs", **asked), 422, "JOB_KIND_UNKNOWN")
    assert not Job.objects.exists()


def test_input_may_come_in_chunks(claimed: ByHand) -> None:
    key = make_key(claimed.row.organization, Role.OPERATOR, ("dispatch",))[1]
    wanted = {"key": "a", "kind": KIND, "input": ["x" * 100_000]}
    body = json.dumps({"epoch": claimed.epoch, "jobs": [wanted]}).encode()
    with serving(application) as (host, port):
        connected = HTTPConnection(host, port, timeout=30)
        chunks = (body[at : at + 5000] for at in range(0, len(body), 5000))
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        path = f"{BASE}/{claimed.id}/jobs"
        connected.request("POST", path, chunks, headers, encode_chunked=True)
        answer = connected.getresponse()
        assert answer.status == 200, answer.read()
    assert Job.objects.get().input == ["x" * 100_000]


def test_a_job_that_ended_before_does_not_hold_a_wait_up(claimed: ByHand) -> None:
    (job,) = claimed.told("jobs", jobs=[{"key": "a", "kind": KIND}])["jobs"]
    Job.objects.update(status="completed", finished_at="2026-01-01T00:00:00Z")
    wait = {"conditions": [{"kind": "job", "id": job["id"]}]}
    assert claimed.told("suspend", **wait)["suspended"] is False
    Job.objects.update(status="queued", finished_at=None)
    assert claimed.told("suspend", **wait)["suspended"] is True
    assert Execution.objects.get(pk=claimed.id).status == "waiting"
