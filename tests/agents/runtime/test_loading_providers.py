"""The libraries of providers are loaded early where a call of theirs is to be expected."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import ROOT

ASK = """
import sys
from agents.runtime.llm import load_providers
load_providers(sys.argv[1], dict(each.split("=") for each in sys.argv[2:]))
print("agents.runtime.pydantic_models" in sys.modules)
"""


@pytest.mark.parametrize(
    ("default", "variables", "are_loaded"),
    [
        ("scripted:echo", ["HOME=/root"], False),
        ("scripted:echo", ["OPENAI_API_KEY="], False),
        ("scripted:echo", ["OF_OURS_API_KEY=k"], True),
        ("openai-compatible:owl", [], True),
    ],
)
def test_only_a_key_or_a_default_of_theirs_loads_them(
    default: str, variables: list[str], are_loaded: bool
) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK, default, *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == str(are_loaded)
