"""Whether tests that repeat themselves run in their long form, as in `make chaos`."""

import os

IS_LONG = int(os.environ.get("SIGNALBOX_CHAOS_ROUNDS", "2")) >= 20
