#!/usr/bin/env python
"""The project's commands, with their services running."""

import os
import signal
import sys

from django.core.management import execute_from_command_line

from config import services
from config.embedded import EmbeddedError

# What works on files alone starts no database.
WITHOUT_SERVICES = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "makemigrations",
    "spectacular",
    "startapp",
    "version",
}


def needs_services(arguments: list[str]) -> bool:
    """Whether the command line names a command that talks to PostgreSQL or Redis."""
    if not arguments or {"-h", "--help", "--version"} & set(arguments):
        return False
    # `check --database default` is the exception among the checks.
    return arguments[0] not in WITHOUT_SERVICES or "--database" in arguments


def main() -> None:
    """Run the command; services that nobody else uses end with it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        if needs_services(sys.argv[1:]):
            services.ensure()
        execute_from_command_line(sys.argv)
    except EmbeddedError as error:
        sys.exit(f"Signalbox: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # As shells say it; where it was is of no interest.
    finally:
        services.leave()


if __name__ == "__main__":
    main()
