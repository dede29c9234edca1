"""GRPO with outcome rewards, from the reasoner of the round (SFT+GRPO): it draws its own samples while it trains."""

import dataclasses
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.methods.rounds import Round, budget, prompts_of, save_update
from sapo.models.adapters import begin_training, end_training
from sapo.models.hardware import arithmetic
from sapo.models.loading import load_reasoner
from sapo.records import Cost
from sapo.train.grpo import Practice, train_grpo
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
    tuning, place = bench.settings.tuning, training(folder)
    seed, adapters = bench.seed("grpo", this.number), bench.seed("adapters", "grpo", this.number)
    if tuning.devices > 1:
        job = Job("grpo", this.reasoner, [practice], settings, seed, adapters)
        model, log, cost = carry_out(job, (model, encoder), tuning, Watch(None, place))
    else:
        begin_training(model, tuning, tuning.reasoner, adapters)
        with arithmetic(tuning):
            log, cost = train_grpo(model, encoder, practice, settings, seed, place)
        end_training(model, tuning)
    save_update(folder, model, encoder, log)
    return cost
