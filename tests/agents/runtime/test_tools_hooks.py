"""Hooks are functions of modules that the installation names; one that is gone denies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agents.runtime import ready_hooks
from agents.runtime.facts import Outcome, ToolRequest, ToolResult
from agents.runtime.tools import hooks
from agents.runtime.tools.registry import Toolbox, Workspace
from agents.runtime.tools.todo import TodoWrite

HERE = "agents.runtime.ready_hooks"
WITHIN = ["agents.runtime.examples", HERE]
CALL = ToolRequest("c", "TodoWrite", {"todos": []})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the installation's, of which one function is another's."""
    made = ModuleType(f"{WITHIN[0]}.made")
    code = (
        "async def later(a, b): ...\ndef one(a): ...\nfrom subprocess import run\nclass Kind: ..."
    )
    exec(compile(code, "made", "exec"), vars(made))  # noqa: S102  A module made for this test.
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


@pytest.mark.parametrize("path", [f"{HERE}:keep_remotes", f"{HERE}.keep_remotes"])
def test_a_hook_is_found_by_either_spelling(path: str) -> None:
    assert hooks.find(path, within=WITHIN) is ready_hooks.keep_remotes


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("os:system", "none of the modules"),
        ("subprocess.run", "none of the modules"),
        ("agents.runtime.examples_of_others:hook", "none of the modules"),
        ("agents.runtime:hook", "none of the modules"),
        (f"{HERE}:absent", "no function"),
        (f"{HERE}:_ADDRESS", "not written as"),
        (f"{HERE}:re.compile", "not written as"),
        (f"{HERE}:ToolRequest", "no function"),
        ("agents.runtime.examples.unloaded:hook", "not loaded"),
        ("agents.runtime.examples.made:run", "no function"),
        ("agents.runtime.examples.made:Kind", "no function"),
        ("agents.runtime.examples.made:later", "two arguments"),
        ("agents.runtime.examples.made:one", "two arguments"),
        ("keep_remotes", "not written as"),
        ("", "not written as"),
    ],
)
def test_what_is_no_hook_is_refused(module: ModuleType, path: str, problem: str) -> None:
    assert module.run is subprocess.run
    with pytest.raises(hooks.HookUnknown, match=problem):
        hooks.find(path, within=WITHIN)


@pytest.mark.parametrize("stage", hooks.STAGES)
def test_a_hook_that_is_gone_denies_before_the_call(stage: str) -> None:
    before, after = hooks.of({stage: [f"{HERE}:gone"]}, within=WITHIN)
    toolbox = Toolbox([TodoWrite()], ["*"], pre_hooks=before, post_hooks=after)
    result = toolbox.call(CALL, Workspace(Path("/nowhere")))
    assert result.outcome is Outcome.DENIED
    assert "a hook of this agent is gone" in result.output


def test_a_module_that_is_no_longer_named_denies() -> None:
    before, _ = hooks.of({"pre_tool": [f"{HERE}:keep_remotes"]}, within=[])
    assert before[0](CALL, Workspace(Path("/nowhere")))


def test_the_example_denies_pushes_and_nothing_else() -> None:
    nowhere = Workspace(Path("/nowhere"))

    def told(name: str, **arguments: str) -> str | None:
        return ready_hooks.keep_remotes(ToolRequest("c", name, arguments), nowhere)

    assert told("Bash", command="git add . && git -C x push origin")
    assert told("Bash", command="git status") is None
    assert told("Read", path="git push") is None


def test_the_example_masks_addresses() -> None:
    result = ToolResult("c", "Read", Outcome.COMPLETE, "ask jo@team.example")
    assert ready_hooks.mask_addresses(CALL, result) == "ask [address]"
    assert (
        ready_hooks.mask_addresses(CALL, ToolResult("c", "Read", Outcome.COMPLETE, "none")) is None
    )


def test_an_output_that_is_no_text_is_withheld() -> None:
    toolbox = Toolbox([TodoWrite()], ["*"], post_hooks=[lambda *_: 7])  # type: ignore[list-item]
    result = toolbox.call(CALL, Workspace(Path("/nowhere")))
    assert (result.outcome, "withheld" in result.output) == (Outcome.ERROR, True)
