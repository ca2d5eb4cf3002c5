"""The ASGI door loads everything before the first request."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LOADED = """
import gc, sys
import config.asgi
print(gc.get_freeze_count(), "boards.urls" in sys.modules)
"""


def test_what_is_loaded_is_no_garbage_to_look_through() -> None:
    told = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    frozen, has_urls = told.stdout.split()
    assert int(frozen) > 50_000
    assert has_urls == "True"
