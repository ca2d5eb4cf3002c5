"""The secret key of an installation that was given none: made once, kept beside its data."""

import os
import secrets
from pathlib import Path


def key_of(home: Path) -> str:
    """The key kept in this folder, made when it is first asked for; readable by its owner only.

    Two processes that ask at once get the same: the file appears whole, or not at all.
    """
    path = home / "secret_key"
    if not path.exists():
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        draft = path.with_name(f"secret_key.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
