"""Command `pretrain`: make the laboratory's base models anew, into `assets/models/NAME/`.

Takes 20-30 minutes a model on one core. Beside the model stand `pretraining.json` (settings and the loss curve).
Weights are stored in bfloat16, which halves the repository and changes no greedy answer that was looked at.
"""

import argparse
import itertools
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from sapo.models.nano import MODELS, build_model, build_tokenizer
from sapo.records import write_plain_json
from sapo.tasks.nano_math_world import NAMES
from sapo.train.pretrain import PretrainSettings, documents, pretrain
from sapo.workspace import stage_directory

VOCABULARY_DOCUMENTS = 20_000
SEED = 0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m sapo pretrain", description=__doc__)
    parser.add_argument("models", nargs="+", choices=MODELS)
    parser.add_argument("--documents", type=int, default=PretrainSettings().documents)
    parser.add_argument("--folder", type=Path, default=Path("assets/models"))
    given = parser.parse_args(arguments)
    for name in given.models:
        make(name, given.folder / name, PretrainSettings(documents=given.documents))


def make(name: str, final: Path, settings: PretrainSettings) -> None:
    """Pretrain one base model; `final` appears when it is done."""
    torch.set_num_threads(1)
    texts = [d.prompt + d.solution for d in itertools.islice(documents(SEED), VOCABULARY_DOCUMENTS)]
    tokenizer = build_tokenizer(texts, NAMES)
    torch.manual_seed(SEED)
    model = build_model(name, len(tokenizer))
    model.set_attn_implementation("eager")  # under autocast, fused attention's backward pass is far slower on CPU
    curve = []
    for entry in pretrain(model, tokenizer, settings, SEED):
        curve.append({key: round(value, 4) for key, value in entry.items() if key != "tokens_per_second"})
        sys.stderr.write(f"pretrain {name}: {entry}\n")
    with stage_directory(final) as folder:
        model.to(torch.bfloat16).save_pretrained(folder)  # pyright: ignore[reportArgumentType]
        tokenizer.save_pretrained(folder)
        write_plain_json(folder / "pretraining.json", {"settings": asdict(settings), "seed": SEED, "curve": curve})
