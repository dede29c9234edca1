"""GRPO with outcome rewards, from the reasoner of the round (SFT+GRPO): it draws its own samples while it trains."""

import dataclasses
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.methods.rounds import Round, budget, prompts_of, save_update
from sapo.models.loading import load_reasoner
from sapo.records import Cost
from sapo.train.grpo import Practice
from sapo.train.jobs import Job, carry_out
from sapo.train.loop import Watch


def update(bench: Bench, this: Round, rounds: int, folder: Path) -> Cost:
    model, encoder = load_reasoner(this.reasoner)
    settings, tokens = bench.settings.grpo, budget(bench, rounds)
    if tokens:  # a step trains on the tokens of its prompts and completions; the round's samples tell how many
        prompts = prompts_of(bench)
        rows = [len(one.ids) for one in encoder.encode_many([(prompts[t.question_id], t.text) for t in this.own])]
        each = settings.group * settings.questions_per_step * sum(rows) / len(rows)
        settings = dataclasses.replace(settings, steps=max(1, round(tokens / each)))
    practice = Practice(bench.task, bench.train_questions(), bench.limits.max_new_tokens)
    seeds = bench.seed("grpo", this.number), bench.seed("adapters", "grpo", this.number)
    job = Job("grpo", this.reasoner, [practice], settings, *seeds)
    model, log, cost = carry_out(job, (model, encoder), bench.settings.tuning, Watch(None, training(folder)))
    save_update(folder, model, encoder, log)
    return cost
