"""DPO on the pairs of a round, from the reasoner that drew them: RFT+DPO, SRF, pSRF, and with an NLL term RPO."""

from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.methods.rounds import Round, budget, save_update
from sapo.methods.updates.pairs import pairs_of
from sapo.models.flops import TRAINING
from sapo.models.loading import load_reasoner
from sapo.records import Cost
from sapo.settings import DpoSettings
from sapo.train.cost import matched, training_cost
from sapo.train.jobs import Job, carry_out
from sapo.train.loop import Watch


def update(bench: Bench, this: Round, rounds: int, folder: Path) -> Cost:
    pairs = pairs_of(bench, this, folder)
    model, encoder = load_reasoner(this.reasoner)
    own = bench.settings.dpo
    rows = [(p.prompt, text) for p in pairs for text in (p.chosen, p.rejected)]
    lengths = [len(one.ids) for one in encoder.encode_many(rows)]
    settings = DpoSettings(own.beta, own.nll, matched(own.fit, lengths, budget(bench, rounds)))
    seeds = bench.seed("dpo", this.number), bench.seed("adapters", "dpo", this.number)
    job = Job("dpo", this.reasoner, pairs, settings, *seeds)
    model, log, _ = carry_out(job, (model, encoder), bench.settings.tuning, Watch(None, training(folder)))
    save_update(folder, model, encoder, log)
    spent = training_cost(model.config, lengths, settings.fit.epochs)
    return spent + Cost(flops=spent.flops / TRAINING)  # the reference reads every row as often
