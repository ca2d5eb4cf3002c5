"""What tests of tools work in: a folder, and a word that names their processes."""

import uuid
from pathlib import Path

import pytest

from agents.runtime.tools.registry import Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace(root=root)


@pytest.fixture
def mark() -> str:
    """A word that names one test's processes, wherever they run away to."""
    return f"mark-{uuid.uuid4().hex}"
