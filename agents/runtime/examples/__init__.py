"""Examples of agent kinds, a file each; all with `SIGNALBOX_MODULES=agents.runtime.examples`."""

from agents.runtime.examples import (
    checkpoints,
    conversation,
    echo,
    map_reduce,
    pipeline,
    streaming,
)

__all__ = ["checkpoints", "conversation", "echo", "map_reduce", "pipeline", "streaming"]
