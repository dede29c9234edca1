"""Training data, losses and trainers.

Private parts of libraries that this package changes, tested with torch 2.13.0, transformers 5.23.0, trl 1.16.0 and
accelerate 1.15.0; look here first after an upgrade:

1. `trl_checkpoints.Resumable` overrides `Trainer._save_checkpoint`, `_load_from_checkpoint`,
   `_load_optimizer_and_scheduler` and `_load_rng_state`: transformers' own checkpoints are pickles.
2. `dpo` and `grpo` override TRL's `_prepare_dataset` and `_tokenize_prompts`: token ids are this project's own.
3. `grpo` sets `config._name_or_path`, from where TRL loads its reference.
4. `split.Whole` swaps the class and attributes of a model that FSDP has split, to have it whole again.
5. `models/prefix_trees.py` replaces the head's `forward` while log-probabilities are computed a portion at a time.
"""
