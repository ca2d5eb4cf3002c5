"""Examples of kinds, a file each; all by `SIGNALBOX_MODULES=agents.runtime.examples`."""

from agents.runtime.examples import (
    checkpoints,
    conversation,
    echo,
    map_reduce,
    pipeline,
    streaming,
)

__all__ = ["checkpoints", "conversation", "echo", "map_reduce", "pipeline", "streaming"]
