"""Decide where PostgreSQL and Redis are: as the environment says, else embedded."""

import atexit
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from config import embedded

KINDS = ("DATABASE_URL", "REDIS_URL")
BASE_DIR = Path(__file__).resolve().parent.parent

_in_use: list[embedded.Services] = []


def home(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of what Signalbox keeps: `SIGNALBOX_HOME`, else `.signalbox` in the project."""
    named = (os.environ if environ is None else environ).get("SIGNALBOX_HOME")
    return Path(named) if named else BASE_DIR / ".signalbox"


def urls(environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The addresses of PostgreSQL and Redis; empty where neither said nor embedded yet."""
    said = os.environ if environ is None else environ
    return said.get("DATABASE_URL", ""), said.get("REDIS_URL", "")


def ensure(environ: MutableMapping[str, str] | None = None) -> None:
    """Have both services, each embedded unless the environment names it.

    Addresses of embedded ones are written into the environment, so that children share them
    without being users of their own. Ends with this process, or by `leave`.
    Raises embedded.EmbeddedError.
    """
    said = os.environ if environ is None else environ
    missing = [kind for kind in KINDS if not said.get(kind)]
    if not missing:
        return
    services = embedded.ensure(home(said), kinds=missing)
    _in_use.append(services)
    atexit.register(services.leave)
    said.update(services.urls)


def revive() -> list[str]:
    """Start again the embedded services that died, and name them; see embedded.Services."""
    return [kind for services in _in_use for kind in services.revive()]


def leave() -> None:
    """End this process's use; who is last stops what is embedded."""
    while _in_use:
        _in_use.pop().leave()
