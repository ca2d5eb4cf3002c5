"""What the chaos tests share: how often they do their worst, and where runs stand."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.redis import client
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.held_model import HeldModel
from tests.chaos.pulse import Pulse
from tests.chaos.stops import Stops

# Two in `make test`, twenty in `make chaos`.
ROUNDS = int(os.environ.get("SIGNALBOX_CHAOS_ROUNDS", "2"))


@pytest.fixture(autouse=True)
def _no_permits_of_others() -> None:
    """A test that failed may have left its workers' permits behind."""
    client().flushdb()


@pytest.fixture
def stops(tmp_path: Path) -> Stops:
    """An empty folder of stops."""
    return Stops(tmp_path)


@pytest.fixture
def model() -> Iterator[HeldModel]:
    """A model server of this test alone."""
    with HeldModel() as server:
        yield server


@pytest.fixture
def workers() -> Iterator[Fleet]:
    """The worker processes of this test."""
    with fleet() as ships:
        yield ships


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    """How long the machine stood still during this test."""
    with Pulse() as beat:
        yield beat
