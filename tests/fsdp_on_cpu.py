"""A process of a job whose model FSDP splits over CPUs.

accelerate takes FSDP up for GPUs alone; told that these processes are on devices of such a kind, it splits and trains
on the CPU by the same code.
"""

import sys
from pathlib import Path

from accelerate import DistributedType, PartialState

from sapo.train import jobs

if __name__ == "__main__":
    PartialState(cpu=False, backend="gloo")
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_NPU
    jobs.main(Path(sys.argv[1]))
