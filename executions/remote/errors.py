"""Refusals that a worker outside hears."""

from agents.errors import Refusal


class KeyRequired(Refusal):
    """Workers outside call with an integration key that has the scope `dispatch`."""

    code = "INTEGRATION_KEY_REQUIRED"
    status_code = 403


class ClaimGone(Refusal):
    """This claim no longer holds: stop, and write nothing more for it."""

    code = "SUPERSEDED"


class EntryNotLeaf(Refusal):
    """The entry's parent is not the last entry of the line; read on from there."""

    code = "ENTRY_NOT_LEAF"


class EntryNotFound(Refusal):
    """The line has no such entry."""

    code = "ENTRY_NOT_FOUND"
    status_code = 404


class EntriesMismatch(Refusal):
    """That key was used for other entries."""

    code = "IDEMPOTENCY_MISMATCH"
    status_code = 422


class CheckpointOutOfOrder(Refusal):
    """Checkpoints are numbered one by one, and each number is used once."""

    code = "CHECKPOINT_OUT_OF_ORDER"


class OutputUnfit(Refusal):
    """The output does not fit the schema of the action that was asked for."""

    code = "OUTPUT_INVALID"
    status_code = 422
