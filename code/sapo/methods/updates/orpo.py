"""ORPO on the pairs of a round: SAPO, SIPF, ORPO on outcomes (SAPO eq. 15-17). At beta = 0 it is SFT on the chosen."""

from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.kept import training
from sapo.methods.rounds import Round, budget, save_update, shown
from sapo.methods.updates.pairs import pairs_of
from sapo.models.loading import load_reasoner
from sapo.records import Cost
from sapo.settings import OrpoSettings
from sapo.train.cost import matched, training_cost
from sapo.train.jobs import Job, carry_out
from sapo.train.loop import Watch
from sapo.train.orpo import plant_pairs


def update(bench: Bench, this: Round, rounds: int, folder: Path) -> Cost:
    pairs = pairs_of(bench, this, folder)
    model, encoder = load_reasoner(this.start)
    own = bench.settings.orpo
    lengths = [len(entry.tree.ids) for entry in plant_pairs(encoder, pairs, own.fit.at_once)]
    settings = OrpoSettings(own.beta, own.nll, matched(own.fit, lengths, budget(bench, rounds)))
    seeds = bench.seed("orpo", this.number), bench.seed("adapters", "orpo", this.number)
    watch = Watch(shown(bench, this, "ORPO"), training(folder))
    job = Job("orpo", this.start, pairs, settings, *seeds)
    model, log, _ = carry_out(job, (model, encoder), bench.settings.tuning, watch)
    save_update(folder, model, encoder, log)
    return training_cost(model.config, lengths, settings.fit.epochs)
