"""Rewards to the preference pairs of a round; ORPO and DPO share them."""

from dataclasses import asdict
from pathlib import Path

from sapo.methods.bench import Bench
from sapo.methods.rounds import Round, prompts_of
from sapo.records import PreferencePair, write_json
from sapo.train.pairs import make_pairs


def pairs_of(bench: Bench, this: Round, folder: Path) -> list[PreferencePair]:
    """Pairs of the round's pool by reward; the report of lost questions goes to `folder`. Raises PairError."""
    settings, seed = bench.settings.pairs, bench.seed("pairs", this.number)
    pairs, report = make_pairs(this.pool, this.rewards, prompts_of(bench), settings, seed)
    write_json(folder / "pairs.json", asdict(report))
    return pairs
