"""The modules in which an installation registers its agent kinds and jobs."""

from __future__ import annotations

import importlib
from collections.abc import Iterable


def load(names: Iterable[str]) -> None:
    """Import each module by its dotted path, which registers what it declares.

    Raises ImportError that names the module, so that a process with a misspelt one does not start.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f"SIGNALBOX_MODULES names {name!r}: {error}") from error
