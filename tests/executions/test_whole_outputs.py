"""An output that is too long for the ledger's row is kept whole beside it, and read in pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from agents.models import Organization, User
from agents.runtime.context import AgentContext
from agents.runtime.facts import Whole
from agents.runtime.tools import catalogue
from agents.runtime.tools.registry import ToolError, Workspace, parameters
from agents.runtime.tools.text import WHOLE_BYTES
from boards.models import Board
from executions import wholes
from executions.engine import claim as claims
from executions.engine.claim import Batch
from executions.engine.toolcalls import MOST_SHOWN, settled
from executions.models import CallStatus, Entry, Execution, Status, ToolCall, WholeOutput
from tests.executions.asking import refused
from tests.executions.carrying import claimed, drive
from tests.executions.polling import ByHand, a_remote_agent, a_remote_run, worker_client
from tests.executions.repositories import a_repository
from tests.executions.test_kinds import of
from tests.factories import client_of, counted_queries, make_agent, make_organization
from tests.starting import a_board, a_run, tool

pytestmark = pytest.mark.django_db(transaction=True)

HOOKS = "agents.runtime.ready_hooks"
# Characters of one to four bytes, so that no border of bytes is one of characters for long.
LONG = "aé漢🙂\n" * 12_000
SECRET = "s3cr3t:W1th-0dd=Ch4rs"


class Flood:
    """A tool that puts out what the test says."""

    name = "Flood"
    description = "Say much."
    parameters = parameters({})
    repeatable = uses_files = changes_files = False
    text = LONG

    def run(self, arguments: Any, workspace: Workspace) -> str:
        return self.text


@pytest.fixture(autouse=True)
def flood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> Flood:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    made = Flood()
    monkeypatch.setitem(catalogue.TOOLS, "Flood", made)
    return made


def flooded(organization: Organization, *turns: Any, board: Any = None, **fields: Any) -> Execution:
    given = {"model": "scripted:play", "tools": ["Flood", "Bash"], "max_concurrency": None}
    agent = make_agent(organization, **given | fields)
    wish = {"board": board} if board else {}
    run = a_run(agent, *(turns or [tool("Flood")]), {"say": "done"}, **wish)
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    return run


def path(call: ToolCall) -> str:
    return f"/api/v0/executions/agents/{call.execution_id}/tool-calls/{call.id}/output"


def listed(api: APIClient, run: Execution) -> dict[str, Any]:
    answer = api.get(f"/api/v0/executions/agents/{run.id}/tool-calls")
    (call,) = answer.json()["results"]
    return dict(call)


def read(api: APIClient, url: str) -> tuple[str, int]:
    """The output from all its pages, and how many there were."""
    text, offset, pages = "", 0, 0
    while offset is not None:
        answer = api.get(url, {"offset": offset})
        assert answer.status_code == 200, answer.content
        page = answer.json()
        assert page["offset"] == offset == len(text.encode())
        assert len(page["text"].encode()) <= wholes.PAGE_BYTES
        text, offset, pages = text + page["text"], page["next_offset"], pages + 1
    assert page["total_bytes"] == len(text.encode())
    return text, pages


def test_a_long_output_is_cut_for_the_model_and_whole_for_people(
    api: APIClient, organization: Organization, flood: Flood
) -> None:
    flood.text = LONG * 3
    total = len(flood.text.encode())
    run = flooded(organization)
    call = listed(api, run)
    assert len(call["output"].encode()) <= 48 * 1024
    assert f" of {total} bytes left out ...]" in call["output"]
    told = Entry.objects.get(execution=run, type="tool_result")
    assert told.content["text"] == call["output"]
    assert (call["whole_bytes"], call["is_whole_cut"]) == (total, False)
    assert read(api, call["whole_url"]) == (flood.text, -(-total // wholes.PAGE_BYTES))


def test_what_fits_has_no_whole(api: APIClient, organization: Organization, flood: Flood) -> None:
    flood.text = "short"
    call = listed(api, flooded(organization))
    assert (call["whole_bytes"], call["is_whole_cut"], call["whole_url"]) == (None, False, None)
    assert not WholeOutput.objects.exists()
    refused(api.get(path(ToolCall.objects.get())), 404, "WHOLE_OUTPUT_NOT_FOUND")


def test_a_whole_is_bounded_too_and_says_so(
    api: APIClient, organization: Organization, flood: Flood
) -> None:
    flood.text = "漢" * (WHOLE_BYTES // 3 + 2)
    call = listed(api, flooded(organization))
    assert call["is_whole_cut"]
    assert WHOLE_BYTES - 100 < call["whole_bytes"] <= WHOLE_BYTES
    text, _ = read(api, call["whole_url"])
    assert f" of {len(flood.text.encode())} bytes left out ...]" in text
    assert "\ufffd" not in text


def test_a_failure_has_a_whole_as_well(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> str:
        raise ToolError(LONG)

    monkeypatch.setattr(Flood, "run", fail)
    call = listed(api, flooded(organization))
    assert call["status"] == "error"
    assert read(api, call["whole_url"])[0] == LONG


def test_pages_begin_and_end_between_characters(organization: Organization) -> None:
    flooded(organization)
    call = ToolCall.objects.get()
    for size in (4, 5, 7, 11):
        offset, text = 0, ""
        while offset is not None and len(text) < 40:
            page = wholes.page(call, offset, size=size)
            text, offset = text + page.text, page.next_offset
        assert LONG.startswith(text)
    # Of an offset within a character the page begins with the next.
    raw = LONG.encode()
    for offset in range(11):
        page = wholes.page(call, offset, size=16)
        assert offset <= page.offset < offset + 4
        assert raw[page.offset :].startswith(page.text.encode())
        assert page.text
    end = wholes.page(call, len(raw), size=16)
    assert (end.text, end.next_offset) == ("", None)


def test_a_page_within_the_last_character_is_the_last(organization: Organization) -> None:
    flooded(organization)
    call = ToolCall.objects.get()
    WholeOutput.objects.filter(call=call).update(text="a漢")
    call.whole_bytes = len("a漢".encode())
    for offset in (2, 3):
        page = wholes.page(call, offset, size=16)
        assert (page.text, page.next_offset) == ("", None)


def test_offsets_that_cannot_be_are_refused(api: APIClient, organization: Organization) -> None:
    flooded(organization)
    url = path(ToolCall.objects.get())
    for wrong in ("-1", "x", str(2**31)):
        assert api.get(url, {"offset": wrong}).status_code == 422
    beyond = api.get(url, {"offset": WHOLE_BYTES}).json()
    assert (beyond["text"], beyond["next_offset"]) == ("", None)


def test_another_organization_and_another_execution_find_nothing(
    api: APIClient, organization: Organization
) -> None:
    flooded(organization)
    call = ToolCall.objects.get()
    assert api.get(path(call)).status_code == 200
    assert client_of(make_organization()).get(path(call)).status_code == 404
    other = flooded(organization, {"say": "x"})
    elsewhere = path(call).replace(str(call.execution_id), str(other.id))
    assert api.get(elsewhere).status_code == 404
    assert api.get(path(call).replace(str(call.id), str(uuid4()))).status_code == 404


def test_a_list_of_calls_asks_for_no_wholes(api: APIClient, organization: Organization) -> None:
    run = flooded(organization)
    with counted_queries() as queries:
        listed(api, run)
    assert not any("wholeoutput" in each["sql"] for each in queries)


# --- hooks and secrets --------------------------------------------------------------------------


@pytest.mark.parametrize("is_seen", [True, False])
def test_what_a_hook_has_not_seen_is_not_kept(
    api: APIClient, organization: Organization, flood: Flood, is_seen: bool
) -> None:
    """One that masks what is shown would leave it in the whole, also where it found nothing."""
    address = "jo@team.example"
    flood.text = (address if is_seen else "x") + LONG + address + LONG
    call = listed(api, flooded(organization, hooks={"post_tool": [f"{HOOKS}:mask_addresses"]}))
    assert call["output"].startswith("[address]" if is_seen else "x")
    assert call["whole_bytes"] is None
    assert not WholeOutput.objects.exists()


def test_a_hook_that_fails_leaves_nothing(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(request: Any, result: Any) -> str | None:
        raise RuntimeError("broken")

    breaks.__module__ = HOOKS
    monkeypatch.setattr(f"{HOOKS}.mask_addresses", breaks)
    call = listed(api, flooded(organization, hooks={"post_tool": [f"{HOOKS}:mask_addresses"]}))
    assert (call["status"], call["whole_bytes"]) == ("error", None)
    assert not WholeOutput.objects.exists()


@pytest.fixture
def board(organization: Organization, tmp_path: Path) -> Board:
    repository = a_repository(tmp_path / "repository")
    return a_board(organization, repository=str(repository), environment={"TOKEN": SECRET})


def test_a_command_that_prints_a_secret_in_pieces_leaves_it_nowhere(
    api: APIClient, organization: Organization, board: Board
) -> None:
    half = len(SECRET) // 2
    command = (
        "head -c 100000 /dev/zero | tr '\\0' x; "
        f'printf %s "${{TOKEN:0:{half}}}"; sleep 0.2; printf %s "${{TOKEN:{half}}}"; '
        "head -c 100000 /dev/zero | tr '\\0' '\\377'; echo; echo last"
    )
    run = flooded(organization, tool("Bash", command=command), board=board)
    call = listed(api, run)
    assert call["output"].endswith("last\n[exit code 0]")
    text, _ = read(api, call["whole_url"])
    ends = f"{'x' * 100_000}[redacted:TOKEN]", f"{chr(0xFFFD) * 100_000}\nlast\n[exit code 0]"
    assert text == "".join(ends)


def test_a_result_of_any_tool_is_kept_without_secrets(
    api: APIClient, organization: Organization, board: Board, flood: Flood
) -> None:
    flood.text = LONG + SECRET + LONG
    call = listed(api, flooded(organization, board=board))
    assert read(api, call["whole_url"])[0] == f"{LONG}[redacted:TOKEN]{LONG}"


# --- the commit ---------------------------------------------------------------------------------


def test_a_claim_that_is_lost_leaves_neither_row_nor_whole(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: Any) -> str:
        Execution.objects.update(epoch=F("epoch") + 1)
        return LONG

    monkeypatch.setattr(Flood, "run", lost)
    agent = make_agent(organization, model="scripted:play", tools=["Flood"], max_concurrency=None)
    run = a_run(agent, tool("Flood"), {"say": "done"})
    drive(run)
    call = ToolCall.objects.get()
    assert (call.status, call.output, call.whole_bytes) == ("running", "", None)
    assert not WholeOutput.objects.exists()


def test_a_whole_that_cannot_be_kept_keeps_the_call_open(organization: Organization) -> None:
    """Row and whole are one statement: what the one is refused for, the other is not there."""
    run = a_run(make_agent(organization, model="scripted:play"), {"say": "done"})
    held = claimed(run)
    call = an_open_call(run)
    whole = settled(call.id, CallStatus.COMPLETE, "x" * (MOST_SHOWN + 1)).whole
    assert whole is not None
    too_long = Whole("x" * (WHOLE_BYTES + 1))
    with pytest.raises(IntegrityError), transaction.atomic():
        claims.commit(held, Batch(settled=settled(call.id, CallStatus.COMPLETE, "x", too_long)))
    call.refresh_from_db()
    assert (call.status, call.whole_bytes) == ("prepared", None)
    assert not WholeOutput.objects.exists()


def an_open_call(run: Execution) -> ToolCall:
    return ToolCall.objects.create(
        execution=run, reply_position=1, position=1, turn=1, call_id="c", name="Flood",
        arguments={}, arguments_digest="d",
    )  # fmt: skip


def test_a_call_that_is_settled_again_has_the_whole_of_its_last_output(
    organization: Organization,
) -> None:
    run = a_run(make_agent(organization, model="scripted:play"), {"say": "done"})
    held = claimed(run)
    call = an_open_call(run)
    for output, whole in ((LONG, LONG), (LONG * 2, LONG * 2), ("short", None)):
        claims.commit(held, Batch(settled=settled(call.id, CallStatus.COMPLETE, output)))
        call.refresh_from_db()
        assert call.whole_bytes == (len(whole.encode()) if whole else None)
        assert WholeOutput.objects.values_list("text", flat=True).first() == whole


def test_wholes_go_with_their_execution(organization: Organization) -> None:
    run = flooded(organization)
    assert WholeOutput.objects.count() == 1
    run.delete()
    assert not WholeOutput.objects.exists()


# --- whoever else writes results ----------------------------------------------------------------


def test_a_result_of_agent_code_is_kept_whole(organization: Organization) -> None:
    def kind(context: AgentContext) -> str:
        call = context.append_tool_call("look", "Telescope", {})
        context.append_tool_result("seen", call, LONG)
        return "done"

    run = of(kind)
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    call = run.tool_calls.get()
    assert len(call.output.encode()) <= MOST_SHOWN
    assert call.whole.text == LONG
    assert call.whole_bytes == len(call.whole.text.encode())


def test_a_result_of_a_worker_outside_is_kept_whole(organization: Organization) -> None:
    a_remote_run(a_remote_agent(organization))
    outside = ByHand(worker_client(organization))
    request = {"call_id": "c1", "name": "Search", "arguments": {}}
    outside.told("entries", entries=[{"type": "llm_call", "tool_requests": [request]}])
    result = {"type": "tool_result", "call_id": "c1", "text": LONG}
    outside.told("entries", entries=[result])
    call = ToolCall.objects.get()
    assert len(call.output.encode()) <= MOST_SHOWN
    assert call.whole.text == LONG


def test_an_operator_comes_from_the_call_to_its_whole(
    client: Client, organization: Organization, flood: Flood
) -> None:
    flood.text = f"<b>{LONG}"
    flooded(organization)
    call = ToolCall.objects.get()
    client.force_login(User.objects.create_superuser(username="root"))
    shown = client.get(reverse("admin:executions_toolcall_change", args=[call.pk]))
    link = reverse("admin:executions_wholeoutput_change", args=[call.pk])
    assert f'href="{link}"' in shown.content.decode()
    whole = client.get(link).content.decode()
    assert f"&lt;b&gt;{LONG[:100]}" in whole
    assert 'name="_save"' not in whole
    pages = client.get(reverse("admin:executions_wholeoutput_changelist"))
    assert pages.status_code == 200
