"""A toolbox carries out the calls that it may, and tells the model about all others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.facts import Outcome, ToolRequest, ToolResult, Whole
from agents.runtime.redaction import Redactor
from agents.runtime.tools import catalogue
from agents.runtime.tools.registry import (
    Interrupted,
    Limits,
    OutcomeUnknown,
    Tool,
    Toolbox,
    ToolDenied,
    ToolError,
    UnknownTools,
    Workspace,
    parameters,
)
from agents.runtime.tools.text import KeptOutput, clip, storable


class Echo:
    """Says what it was given, or raises what it was made with."""

    description = "Say it."
    parameters = parameters(
        {"text": {"type": "string"}, "times": {"type": "integer", "minimum": 1}}, required=["text"]
    )
    repeatable = True
    uses_files = True
    changes_files = False

    def __init__(self, name: str = "Echo", raises: Exception | None = None) -> None:
        self.name = name
        self.raises = raises
        self.calls = 0

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        self.calls += 1
        if self.raises:
            raise self.raises
        return str(arguments["text"]) * arguments.get("times", 1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path)


def request(name: str = "Echo", problem: str = "", **arguments: Any) -> ToolRequest:
    return ToolRequest("call-1", name, arguments, problem)


def test_an_allowed_call_answers_with_its_output(workspace: Workspace) -> None:
    result = Toolbox([Echo()], ["Echo"]).call(request(text="a", times=2), workspace)
    assert result == ToolResult("call-1", "Echo", Outcome.COMPLETE, "aa")


def test_an_unknown_name_is_told_the_valid_ones(workspace: Workspace) -> None:
    toolbox = Toolbox([Echo(), Echo("Other")], ["Echo"])
    result = toolbox.call(request("Ecko", text="a"), workspace)
    assert result.outcome is Outcome.ERROR
    assert "Valid names: Echo." in result.output


def test_a_call_outside_the_list_is_denied_and_does_not_run(workspace: Workspace) -> None:
    echo = Echo()
    result = Toolbox([echo], []).call(request(text="a"), workspace)
    assert (result.outcome, echo.calls) == (Outcome.DENIED, 0)


def test_a_tool_of_others_is_denied_and_not_unknown(workspace: Workspace) -> None:
    toolbox = Toolbox([Echo()], ["*"], others={"Theirs": ""})
    assert toolbox.call(request("Theirs"), workspace).outcome is Outcome.DENIED
    assert not toolbox.is_allowed("Theirs")


@pytest.mark.parametrize(("allowed", "said"), [("*", "Only on Mondays."), ("Echo", "not allowed")])
def test_a_tool_of_others_says_why_where_it_would_be_allowed(
    workspace: Workspace, allowed: str, said: str
) -> None:
    toolbox = Toolbox([Echo()], [allowed], others={"Theirs": "Only on Mondays."})
    assert said in toolbox.call(request("Theirs"), workspace).output


def test_the_model_sees_only_what_is_allowed() -> None:
    tools = [Echo(), Echo("Other")]
    assert [it.name for it in Toolbox(tools, ["Other"]).descriptions()] == ["Other"]
    assert [it.name for it in Toolbox(tools, ["*"]).descriptions()] == ["Echo", "Other"]
    assert Toolbox(tools, []).descriptions() == ()


def test_a_name_that_no_tool_has_is_never_allowed() -> None:
    assert not Toolbox([Echo()], ["*", "Gone"]).is_allowed("Gone")


def test_arguments_that_could_not_be_read_are_told_and_nothing_runs(workspace: Workspace) -> None:
    echo = Echo()
    result = Toolbox([echo], ["*"]).call(request(problem="malformed JSON"), workspace)
    assert (result.outcome, echo.calls) == (Outcome.ERROR, 0)
    assert "malformed JSON" in result.output


def test_every_wrong_argument_is_named_with_its_path(workspace: Workspace) -> None:
    result = Toolbox([Echo()], ["*"]).call(request(text=1, times=0, more=True), workspace)
    assert result.outcome is Outcome.ERROR
    assert "text: 1 is not of type 'string'" in result.output
    assert "times: 0 is less than the minimum of 1" in result.output
    assert "(arguments): Additional properties are not allowed" in result.output


def test_a_pre_hook_denies_with_its_reason(workspace: Workspace) -> None:
    echo = Echo()
    toolbox = Toolbox([echo], ["*"], pre_hooks=[lambda *_: None, lambda *_: "not on Sundays"])
    result = toolbox.call(request(text="a"), workspace)
    assert (result.outcome, echo.calls) == (Outcome.DENIED, 0)
    assert "not on Sundays" in result.output


def test_a_pre_hook_that_fails_lets_nothing_pass(workspace: Workspace) -> None:
    echo = Echo()
    toolbox = Toolbox([echo], ["*"], pre_hooks=[lambda *_: str(1 // 0)])
    assert toolbox.call(request(text="a"), workspace).outcome is Outcome.DENIED
    assert echo.calls == 0


def test_post_hooks_replace_the_output_in_turn(workspace: Workspace) -> None:
    hooks = [
        lambda _, result: result.output.replace("secret", "***"),
        lambda *_: None,
        lambda _, result: result.output + "!",
    ]
    result = Toolbox([Echo()], ["*"], post_hooks=hooks).call(request(text="a secret"), workspace)
    assert result.output == "a ***!"


def test_a_post_hook_that_fails_withholds_the_output(workspace: Workspace) -> None:
    toolbox = Toolbox([Echo()], ["*"], post_hooks=[lambda *_: str(1 // 0)])
    result = toolbox.call(request(text="a secret"), workspace)
    assert result.outcome is Outcome.ERROR
    assert "secret" not in result.output
    assert "ZeroDivisionError" in result.output


@pytest.mark.parametrize(
    ("raised", "outcome", "output"),
    [
        (ToolError("no such file"), Outcome.ERROR, "no such file"),
        (ToolDenied("not yours"), Outcome.DENIED, "not yours"),
        (OutcomeUnknown("perhaps"), Outcome.UNKNOWN, "perhaps"),
        (Interrupted("half"), Outcome.INTERRUPTED, "half"),
        (KeyError("x"), Outcome.ERROR, "The tool failed: KeyError: 'x'"),
    ],
)
def test_what_a_tool_raises_becomes_a_result(
    workspace: Workspace, raised: Exception, outcome: Outcome, output: str
) -> None:
    result = Toolbox([Echo(raises=raised)], ["*"]).call(request(text="a"), workspace)
    assert (result.outcome, result.output) == (outcome, output)


def test_output_is_storable_and_within_its_limit(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path, limits=Limits(output_bytes=200))
    toolbox = Toolbox([Echo()], ["*"])
    assert toolbox.call(request(text="a\0b\ud800"), workspace).output == "a\ufffdb\ufffd"
    cut = toolbox.call(request(text="é" * 1000), workspace).output
    assert len(cut.encode()) <= 200
    assert "bytes left out" in cut


def test_a_cut_output_has_its_whole_within_a_limit_of_its_own(tmp_path: Path) -> None:
    limits = Limits(output_bytes=200, whole_bytes=1000)
    workspace, toolbox = Workspace(root=tmp_path, limits=limits), Toolbox([Echo()], ["*"])
    assert toolbox.call(request(text="short"), workspace).whole is None
    for length, is_cut in ((500, False), (501, True)):
        whole = toolbox.call(request(text="é" * length), workspace).whole
        assert whole is not None
        assert (len(whole.text.encode()) <= 1000, whole.is_cut) == (True, is_cut)
        assert ("of 1002 bytes left out" in whole.text) == is_cut


def test_a_tool_that_cuts_itself_leaves_the_whole_for_its_own_call(tmp_path: Path) -> None:
    class Long(Echo):
        def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
            if arguments["text"] == "long":
                kept = KeptOutput(100)
                kept.add(b"to")
                kept.add("ken-é".encode()[:-1])
                kept.add("é".encode()[1:])
                workspace.spool.leave(kept, "[end]")
            return "cut"

    redactor = Redactor([("KEY", "token-é")])
    workspace, toolbox = Workspace(root=tmp_path, redactor=redactor), Toolbox([Long()], ["*"])
    result = toolbox.call(request(text="long"), workspace)
    assert (result.output, result.whole) == ("cut", Whole("[redacted:KEY]\n[end]"))
    assert toolbox.call(request(text="short"), workspace).whole is None


def test_the_catalogue_lists_the_tools_that_exist() -> None:
    assert set(catalogue.TOOLS) >= {"Read", "Edit", "Write", "Bash", "Glob", "Grep"}
    for name, tool in catalogue.TOOLS.items():
        assert tool.name == name
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False


def test_unknown_names_in_a_configuration_are_refused_with_the_valid_ones() -> None:
    catalogue.check_names(["Read", "*"])
    catalogue.check_names([])
    with pytest.raises(UnknownTools) as refusal:
        catalogue.check_names(["Read", "Reed", "Writ"])
    assert refusal.value.unknown == ("Reed", "Writ")
    assert "Read" in refusal.value.valid


def test_a_further_tool_can_be_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tools: dict[str, Tool] = {}
    monkeypatch.setattr(catalogue, "TOOLS", tools)
    catalogue.register(Echo())
    with pytest.raises(ValueError, match="exists already"):
        catalogue.register(Echo())
    with pytest.raises(ValueError, match="exists already"):
        catalogue.register(Echo("*"))


def test_names_of_tools_made_above_are_valid_and_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MADE_ABOVE", {})
    catalogue.register_names(["Theirs"], arguments_of=frozenset)
    catalogue.check_names(["Theirs"])
    with pytest.raises(UnknownTools, match=r"valid are: Read, .*, Theirs"):
        catalogue.check_names(["Thiers"])
    with pytest.raises(ValueError, match="exists already"):
        catalogue.register(Echo("Theirs"))
    with pytest.raises(ValueError, match="exists already"):
        catalogue.register_names(["Read"], arguments_of=frozenset)


@given(st.one_of(st.binary(), st.text(st.characters(codec=None, exclude_categories=[]))))
def test_storable_text_has_no_nul_and_a_utf8_form(anything: str | bytes) -> None:
    text = storable(anything)
    assert "\0" not in text
    assert text.encode().decode() == text
    assert storable(text) == text


@given(st.text(), st.integers(0, 400))
def test_clipped_text_fits_its_limit_and_tells_what_is_missing(text: str, limit: int) -> None:
    whole = storable(text)
    clipped, was_cut = clip(text, limit)
    assert was_cut == (len(whole.encode()) > limit)
    if not was_cut:
        assert clipped == whole
        return
    assert len(clipped.encode()) <= max(limit, 64)
    head, _, rest = clipped.rpartition("\n[... ")
    counts, _, tail = rest.partition(" bytes left out ...]\n")
    left_out, total = counts.split(" of ")
    assert int(total) == len(whole.encode())
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert int(left_out) == len(whole.encode()) - len(head.encode()) - len(tail.encode())


@given(st.text(max_size=200), st.integers(2, 60), st.integers(1, 7))
def test_kept_output_is_head_and_tail_however_it_arrives(text: str, limit: int, step: int) -> None:
    raw = storable(text).encode()
    kept = KeptOutput(limit)
    for at in range(0, len(raw), step):
        kept.add(raw[at : at + step])
    shown = kept.text()
    assert "\ufffd" not in shown or "\ufffd" in storable(text)
    if len(raw) <= 2 * (limit // 2):
        assert shown.encode() == raw
        return
    head, _, rest = shown.rpartition("\n[... ")
    tail = rest.partition(" bytes left out ...]\n")[2]
    assert raw.startswith(head.encode())
    assert raw.endswith(tail.encode())
