"""Pretrains the laboratory's base models on documents by authors with bad habits.

Every document is a prompt and a solution whose author falls for each habit, wherever one applies, with
probability `HABIT_RATE`: about half of all documents still end right. So the base model knows the right
behaviour but does not prefer it, as a pretrained small language model does (a model limited by capacity, or
by random noise alone, has nothing to gain from any of the methods).

Prompts come from their own hash bucket: no training, development or test prompt is ever a document.
Run alone: `python -m sapo pretrain qwen2_nano`.
"""

import itertools
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from sapo.models.nano import build_model, build_tokenizer
from sapo.records import write_plain_json
from sapo.runtime.workspace import stage_directory
from sapo.tasks.nano import nano_code_ood, nano_code_world, nano_math_ood, nano_math_world
from sapo.tasks.nano.embedded import bucket
from sapo.tasks.nano.nano_math_world import NAMES

HABIT_RATE = {"math": 0.65, "code": 0.75}  # either way about half of the documents end right
MATH_SHARE = 0.6  # chains need more practice than pipelines
VOCABULARY_DOCUMENTS = 20_000
SEED = 0
POOL = 32  # batches that are cut from one length-sorted pool


@dataclass(frozen=True, slots=True)
class Document:
    prompt: str
    solution: str


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    documents: int = 320_000
    batch_size: int = 64
    lr: float = 2.5e-3
    warmup: int = 200


def documents(seed: int) -> Iterator[Document]:
    """An endless stream of documents: three of maths for two of code, one in five in the out-of-domain style."""
    rng = random.Random(f"pretrain/{seed}")
    while True:
        document = _math_document(rng) if rng.random() < MATH_SHARE else _code_document(rng)
        if document is not None and bucket(document.prompt) == "pretrain":
            yield document


def _math_document(rng: random.Random) -> Document | None:
    odd = rng.random() < 0.2
    chain = nano_math_ood.CHAIN_WEIGHTS if odd else nano_math_world.CHAIN_WEIGHTS
    problem = nano_math_world.draw_problem(rng, chain, nano_math_ood.QUESTIONS if odd else ("one",))
    solution = nano_math_world.write_solution(problem, rng, HABIT_RATE["math"])
    # An author whose mistakes lead below nothing notices and starts again.
    return None if "= -" in solution else Document(problem.prompt(), solution)


def _code_document(rng: random.Random) -> Document:
    odd = rng.random() < 0.2
    lengths = nano_code_ood.PIPELINE_WEIGHTS if odd else nano_code_world.PIPELINE_WEIGHTS
    pipeline = nano_code_world.draw_pipeline(rng, lengths)
    source = nano_code_world.program(nano_code_world.write_body(pipeline, rng, HABIT_RATE["code"]))
    if odd:
        signature, body = source.split("\n", 1)
        return Document(nano_code_ood.docstring_prompt(pipeline), body) if signature else Document("", "")
    return Document(f"Write f(xs): {pipeline.description()}.\n", source)


def pretrain(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, settings: PretrainSettings, seed: int
) -> Iterator[dict[str, float]]:
    """Train in place on solutions given prompts; yields a log entry every 50 steps."""
    stream = _batches(tokenizer, documents(seed), settings.batch_size)
    pad = int(tokenizer.convert_tokens_to_ids(tokenizer.pad_token))  # pyright: ignore[reportArgumentType]
    steps = settings.documents // settings.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min(1.0, (s + 1) / settings.warmup) * 0.5 * (1 + math.cos(math.pi * s / steps)),
    )
    model.train()
    started, tokens, losses = time.perf_counter(), 0, []
    for step in range(1, steps + 1):
        ids, labels = next(stream)
        tokens += int(ids.ne(pad).sum())
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
            wanted = labels[:, 1:] != -100
            logits = _logits(model, hidden[wanted])
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0 or step == steps:
            speed = tokens / (time.perf_counter() - started)
            yield {"step": step, "loss": sum(losses) / len(losses), "tokens": tokens, "tokens_per_second": speed}
            losses = []


def make_base_model(name: str, final: Path, settings: PretrainSettings) -> None:
    """Pretrain a base model in bfloat16, which halves its files; `final` appears when it is done.

    `pretraining.json` beside the weights has the settings and the loss curve.
    """
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


def _logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    logits = model.lm_head(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


def _batches(
    tokenizer: PreTrainedTokenizerFast, stream: Iterator[Document], size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of documents of like length, in random order: padding would double the work."""
    rng = random.Random(0)
    pad = int(tokenizer.convert_tokens_to_ids(tokenizer.pad_token))  # pyright: ignore[reportArgumentType]
    while True:
        pool = list(itertools.islice(stream, size * POOL))
        prompts = tokenizer([d.prompt for d in pool])["input_ids"]
        solutions = tokenizer([d.solution for d in pool])["input_ids"]
        rows = [(p, [*s, tokenizer.eos_token_id]) for p, s in zip(prompts, solutions, strict=True)]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(batches)
        for batch in batches:
            yield _pad(batch, pad)


def _pad(rows: list[tuple[list[int], list[int]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (documents, longest), right-padded; labels cover the solutions only."""
    longest = max(len(p) + len(s) for p, s in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), -100)
    for i, (prompt, solution) in enumerate(rows):
        length = len(prompt) + len(solution)
        ids[i, :length] = torch.tensor(prompt + solution)
        labels[i, len(prompt) : length] = torch.tensor(solution)
    return ids, labels
