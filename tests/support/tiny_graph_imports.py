"""Everything that a stage imports, so that a fork server pays for it once (`tiny_graph.begin_stage`)."""

import importlib

from sapo.cli.stages import STAGES

LATE = ("accelerate", "datasets", "trl.trainer.dpo_trainer", "trl.trainer.grpo_trainer", "trl.trainer.sft_trainer")

for name in (*LATE, *(f"sapo.stages.{stage}" for stage in STAGES)):
    importlib.import_module(name)
