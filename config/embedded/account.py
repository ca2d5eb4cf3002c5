"""Choose the system account that runs PostgreSQL, which refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from config.embedded.errors import EmbeddedError

# Bits of the effective capability set in /proc/self/status (capabilities(7)).
ENTER_ANY_FOLDER = {"dac_read_search": 1 << 2, "dac_override": 1 << 1}


class Account:
    """Who runs PostgreSQL on these files: ourselves, or as root an unprivileged account.

    As root it is the owner of existing files, else `postgres`, else `nobody`; no account is
    created and no folder's permissions are widened. Where that account cannot walk to the files
    (a checkout under /root or in a private temporary folder), the processes get the one
    capability that lets them.
    """

    def __init__(self, home: Path) -> None:
        self._entry = _unprivileged(home) if os.geteuid() == 0 else None

    def own(self, path: Path) -> None:
        """Make the path the account's."""
        if self._entry:
            os.chown(path, self._entry.pw_uid, self._entry.pw_gid)

    def prefix(self, *needed: Path) -> list[str]:
        """The command that runs the rest of its arguments as this account.

        Raises EmbeddedError when `setpriv` (util-linux) is missing, or when the account cannot
        reach a needed path and we hold no capability to give it.
        """
        if self._entry is None:
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise EmbeddedError(
                "PostgreSQL refuses to run as root, and the command setpriv (util-linux) is not "
                "here to run it as another account. Install it, or start as another user."
            )
        plain = [
            setpriv,
            f"--reuid={self._entry.pw_uid}",
            f"--regid={self._entry.pw_gid}",
            "--clear-groups",
        ]
        if all(_reaches(plain, path) for path in needed):
            return plain
        return self._with_passage(plain, needed)

    def _with_passage(self, plain: list[str], needed: tuple[Path, ...]) -> list[str]:
        for capability, bit in ENTER_ANY_FOLDER.items():
            if not _effective_capabilities() & bit:
                continue
            # access(2), which PostgreSQL asks about its own programs, ignores the capabilities
            # of other accounts than root unless no_setuid_fixup is set.
            passage = [
                *plain,
                f"--inh-caps=-all,+{capability}",
                f"--ambient-caps=-all,+{capability}",
                f"--bounding-set=-all,+{capability}",
                "--securebits=+no_setuid_fixup",
            ]
            if all(_reaches(passage, path) for path in needed):
                return passage
        name = self._entry.pw_name if self._entry else ""
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and the account {name} cannot reach {needed[0]}. "
            "Start as another user, or move the project to where every user may enter."
        )


def _unprivileged(home: Path) -> pwd.struct_passwd:
    if home.exists() and home.stat().st_uid != 0:
        return pwd.getpwuid(home.stat().st_uid)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError("PostgreSQL refuses to run as root, and there is no account nobody.")


def _reaches(prefix: list[str], path: Path) -> bool:
    asked = subprocess.run([*prefix, "test", "-x", path], cwd="/", capture_output=True, check=False)
    return asked.returncode == 0


def _effective_capabilities() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text().splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
