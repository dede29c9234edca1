"""A process of a job whose model FSDP or DeepSpeed splits over CPUs; logits are computed a few places at a time.

accelerate takes FSDP up for GPUs alone; told that these processes are on devices of such a kind, it splits and trains
on the CPU by the same code.
"""

import os
import sys
from pathlib import Path

from accelerate import DistributedType, PartialState

from sapo.models import prefix_trees
from sapo.train import launch


def take_part(folder: Path) -> None:
    """Be one of the processes of the job."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        PartialState(cpu=False, backend="gloo")
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_NPU
    launch.main(folder)


if __name__ == "__main__":
    prefix_trees.LOGITS = 2**11
    take_part(Path(sys.argv[1]))
