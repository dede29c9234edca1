"""Preference pairs to a better reasoner by ORPO (SAPO eq. 16-17), one forward pass for all pairs of a prompt.

`nll: completion` averages the chosen completion's own tokens, row by row (the ORPO paper's eq. 2).
`nll: full` is what SIPF's trainer did: prompt and completion, averaged over all tokens of the batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sapo.models.encoding import Encoder, Size, pad_rows
from sapo.models.prefix_trees import Ids, Tree, build_tree, token_log_probabilities, tree_hidden
from sapo.records import PreferencePair
from sapo.settings import OrpoSettings
from sapo.train.cost import matched, training_cost
from sapo.train.fit import NO_CONTEXT, RunContext, fit
from sapo.train.losses import check_completions, masked_mean, orpo_loss
from sapo.train.pairs import PAIRS
from sapo.train.trainer import Memory, Trained, Trainer


class PairTree(NamedTuple):
    """Pairs of one prompt, whose completions begin at position `start`; paths are chosen, rejected, chosen, …"""

    tree: Tree
    start: int


def train_orpo(
    model: PreTrainedModel,
    encoder: Encoder,
    pairs: Sequence[PreferencePair],
    settings: OrpoSettings,
    seed: int,
    context: RunContext = NO_CONTEXT,
) -> Trained:
    """Train `model` in place on preference pairs; an end token closes both completions.

    Returns:
        With a log a step; its measures: `nll`, `chosen_logp`, `rejected_logp` (means a token) and `log_odds_ratio`.

    Raises:
        ValueError: there are no pairs, or a prompt or a completion has no tokens (names the question).
        TrainingDiverged: see `loop.fit`.
    """
    trees = build_pair_trees(encoder, pairs, settings.fit.micro_batch_size)

    def batch_loss(batch: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        return pair_loss(model, [trees[index] for index in batch], encoder.pad_id, settings)

    sizes = [Size(len(entry.tree.ids), len(entry.tree.units)) for entry in trees]
    lengths = [size.tokens for size in sizes]
    plan = matched(settings.fit, lengths, context.tokens)
    log = fit(model, batch_loss, sizes, plan, seed, context.over([settings, *pairs]))
    return Trained(model, log, training_cost(model.config, lengths, plan.epochs))


def build_pair_trees(encoder: Encoder, pairs: Sequence[PreferencePair], most: int) -> list[PairTree]:
    """Pairs of equal prompts together, at most `most` of them.

    Raises:
        ValueError: a prompt or a completion has no tokens; names the question.
    """
    questions = [pair.question_id for pair in pairs]
    sides = []
    for texts in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]):
        encoded = encoder.encode_many([(pair.prompt, text) for pair, text in zip(pairs, texts, strict=True)])
        check_completions(questions, [len(one.ids) - one.completion_start - 1 for one in encoded])
        sides.append(encoded)
    for question, one in zip(questions, sides[0], strict=True):
        if one.completion_start < 1:
            raise ValueError(
                f"question {question} has a prompt without tokens: nothing predicts the first answer token"
            )
    units = [(chosen.ids, rejected.ids) for chosen, rejected in zip(*sides, strict=True)]
    trees = build_tree(units, [pair.prompt for pair in pairs], most)
    return [PairTree(tree, sides[0][tree.units[0]].completion_start) for tree in trees]


def pair_loss(
    model: PreTrainedModel, trees: Sequence[PairTree], pad_id: int, settings: OrpoSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean ORPO loss of the pairs of some trees, and its measures."""
    whole = settings.nll == "full"
    logp, every, own = _log_probabilities(model, trees, pad_id, whole)
    chosen, rejected = masked_mean(logp, own).view(-1, 2).unbind(1)
    nll = -logp[0::2][every[0::2]].mean() if whole else -chosen
    terms = orpo_loss(chosen, rejected, nll, settings.beta)
    measures = {
        "nll": terms.nll_B.detach().mean(),
        "chosen_logp": chosen.detach().mean(),
        "rejected_logp": rejected.detach().mean(),
        "log_odds_ratio": terms.log_odds_ratio_B.detach().mean(),
    }
    return terms.loss_B.mean(), measures


def _log_probabilities(
    model: PreTrainedModel, trees: Sequence[PairTree], pad_id: int, whole: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities (N, T) of the tokens of all sequences, tree after tree, with the prompt's own if `whole`.

    Returns:
        them; the mask of tokens that exist; the mask of those of the completions. Logits are computed at every token
        of a tree once at most: the head is a large part of the work.
    """
    hidden = tree_hidden(model.get_decoder(), [entry.tree for entry in trees], pad_id)
    width = hidden.shape[1]
    sources: list[list[int]] = []
    targets: list[Ids] = []
    prompts: list[int] = []  # tokens of the prompt that are among the targets
    for row, (tree, start) in enumerate(trees):
        first = 0 if whole else start - 1
        for path in tree.paths:
            sources.append([row * width + place for place in path[first:-1]])
            targets.append(tuple(tree.ids[place] for place in path[first + 1 :]))
            prompts.append(start - 1 - first)
    at = pad_rows(sources, -1).to(hidden.device)
    wanted = pad_rows(targets, 0).to(hidden.device)
    every = at >= 0
    asked, number = at[every].unique(return_inverse=True)
    found = token_log_probabilities(model, hidden.flatten(0, 1)[asked], number, wanted[every])
    logp = torch.zeros(at.shape, device=hidden.device).masked_scatter(every, found)
    completion = torch.arange(at.shape[1], device=hidden.device) >= torch.tensor(prompts).to(hidden.device).unsqueeze(1)
    return logp, every, every & completion


ORPO = Trainer(
    name="orpo",
    section="orpo",
    data=PAIRS,
    train=train_orpo,
    expected=lambda e: e.training(2 * e.pairs * e.row * e.tree_share, e.settings.orpo.fit),
    examples=lambda settings: settings.fit.micro_batch_size,
    memory=Memory(completions=2, logits="portion"),
    lower=("orpo.fit.micro_batch",),
)
