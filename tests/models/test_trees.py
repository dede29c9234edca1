"""Sequences that begin alike as one row: each token once, and what it sees is its own sequence."""

import weakref
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_model
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from sapo.models import prefix_trees as module
from sapo.models.prefix_trees import (
    LARGEST,
    Tree,
    build_tree,
    common,
    gathered,
    head_logits,
    token_log_probabilities,
    tree_hidden,
)

SEQUENCES = st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple)


def test_a_tree_by_hand() -> None:
    """ab, abcd and ad: a b c d' d, where b is followed by c d' and a by everything.

    In the order of the walk: ab is a part of abcd, ad branches off behind a.
    """
    (tree,) = build_tree([((1, 2),), ((1, 4),), ((1, 2, 3, 4),)], ["q"] * 3, 9)
    assert tree == Tree(
        ids=(1, 2, 3, 4, 4),
        positions=(0, 1, 2, 3, 1),
        ends=(5, 4, 4, 4, 5),
        paths=((0, 1), (0, 1, 2, 3), (0, 4)),
        units=(0, 2, 1),
    )


@given(st.lists(st.tuples(SEQUENCES, SEQUENCES, st.integers(0, 2)), min_size=1, max_size=12), st.integers(1, 4))
def test_every_unit_is_in_one_tree_of_its_group_and_keeps_its_sequences(
    drawn: list[tuple[tuple[int, ...], tuple[int, ...], int]], most: int
) -> None:
    units, groups = [entry[:2] for entry in drawn], [entry[2] for entry in drawn]
    trees = build_tree(units, groups, most)
    assert sorted(number for tree in trees for number in tree.units) == list(range(len(units)))
    for tree in trees:
        assert len(tree.units) <= most and len({groups[number] for number in tree.units}) == 1
        sequences = [sequence for number in tree.units for sequence in units[number]]
        assert [tuple(tree.ids[place] for place in path) for path in tree.paths] == sequences
        beginnings = {s[:length] for s in sequences for length in range(1, len(s) + 1)}
        assert len(tree.ids) == len(beginnings)  # each beginning once
        for path in tree.paths:
            assert [tree.positions[place] for place in path] == list(range(len(path)))
            for place, end in enumerate(tree.ends):  # who sees `place`: just what stands behind it on a branch
                assert all((place in path[: path.index(seer) + 1]) == (place <= seer < end) for seer in path)


def test_a_tree_is_cut_before_it_grows_too_large() -> None:
    """Seven sequences of 5 tokens that share nothing, at most 2 * 5 tokens a tree."""
    trees = build_tree([((number,) * 5,) for number in range(7)], [0] * 7, 99)
    assert [len(tree.ids) for tree in trees] == [LARGEST * 5] * 3 + [5]


@pytest.mark.parametrize("window", [64, 3])
@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gemma", "llama", "phi"])
def test_hidden_states_and_gradients_equal_those_of_separate_rows(architecture: str, window: int) -> None:
    """Also under a sliding window shorter than the rows, and beside a longer tree that adds padding."""
    model = tiny_model(architecture, 20, window=window)
    units = [((1, 2, 3, 4, 5),), ((1, 2, 3, 9),), ((1, 7),), ((1, 2, 3, 4, 5, 6, 7, 8),), ((5, 4, 3),)]
    trees = build_tree(units, [0, 0, 0, 0, 1], 9)
    hidden = tree_hidden(model.get_decoder(), trees, 0)
    rows = [row for row, tree in enumerate(trees) for _ in tree.paths]
    found, mask = gathered(hidden, rows, [path for tree in trees for path in tree.paths])
    numbers = [number for tree in trees for number in tree.units]
    expected = [model.get_decoder()(torch.tensor([units[number][0]])).last_hidden_state[0] for number in numbers]
    for own, real, wanted in zip(found, mask, expected, strict=True):
        assert_close(own[real], wanted, atol=1e-5, rtol=0)
    weight = next(model.parameters())
    (together,) = torch.autograd.grad(found[mask].square().sum(), weight)
    (apart,) = torch.autograd.grad(torch.cat(expected).square().sum(), weight)
    assert_close(together, apart, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gemma", "llama", "phi"])
def test_logits_of_the_head_are_those_of_the_model(architecture: str) -> None:
    model = tiny_model(architecture, 20)
    ids = torch.tensor([[1, 2, 3]])
    assert_close(head_logits(model, model.get_decoder()(ids).last_hidden_state), model(ids).logits)


def test_a_head_that_rescales_is_refused() -> None:
    model = tiny_model("qwen2", 20)
    model.config.logit_scale = 0.5
    with pytest.raises(ValueError, match="rescales its logits"):
        head_logits(model, torch.zeros(1, 1, model.config.hidden_size))


@given(SEQUENCES, SEQUENCES)
def test_the_common_beginning_is_the_longest_one(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    length = common(one, other)
    assert one[:length] == other[:length]
    assert one[: length + 1] != other[: length + 1] or length == min(len(one), len(other))


class Tokens(NamedTuple):
    """7 places of 32 numbers; each predicts one token of 20, the third and the last one another token besides."""

    hidden: torch.Tensor
    place: torch.Tensor
    token: torch.Tensor


def tokens() -> Tokens:
    chance = torch.Generator().manual_seed(3)
    hidden = torch.randn(7, 32, generator=chance).requires_grad_()
    return Tokens(hidden, torch.tensor([0, 1, 2, 3, 4, 5, 6, 2, 6]), torch.randint(0, 20, (9,), generator=chance))


def head_of(model: PreTrainedModel) -> nn.Module:
    head = model.get_output_embeddings()
    assert head is not None
    return head


def head_and_gradients(model: PreTrainedModel, given: Tokens) -> tuple[torch.Tensor, ...]:
    """Log-probabilities, and the gradients of a sum in which each counts differently."""
    found = token_log_probabilities(model, *given)
    weights = [weight for weight in head_of(model).parameters() if weight.requires_grad]
    loss = (found * torch.arange(1.0, 10.0)).sum()
    return found.detach(), *torch.autograd.grad(loss, [given.hidden, *weights])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "phi"])
def test_logits_in_portions_of_any_size_give_the_same_values_and_gradients(
    architecture: str, dtype: torch.dtype, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with Gemma 2's capped logits, Phi's biased head, and a head that is not trained.

    In bfloat16 the gradient of a head is the sum of as many rounded ones as there are portions.
    """
    model, given = tiny_model(architecture, 20), tokens()
    model.requires_grad_(not frozen)
    within = 1e-6 if dtype == torch.float32 else 1e-2
    with torch.autocast("cpu", dtype, dtype == torch.bfloat16, cache_enabled=False):
        whole = head_and_gradients(model, given)
        expected = head_logits(model, given.hidden).float().log_softmax(-1)[given.place, given.token]
        assert torch.equal(whole[0], expected)
        for places in range(1, 8):
            monkeypatch.setattr(module, "LOGITS", places * 20 + 19)
            found = head_and_gradients(model, given)
            assert len(found) == len(whole) == 2 + (0 if frozen else len(list(head_of(model).parameters())))
            for own, wanted in zip(found, whole, strict=True):
                assert own.dtype == wanted.dtype == torch.float32
                assert (own - wanted).norm() <= within * wanted.norm()


def test_portions_are_one_call_of_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes of a split model make it together, and their numbers of portions differ; the head stays itself."""
    model, given, calls = tiny_model("qwen2", 20), tokens(), []
    head = head_of(model)
    head.register_forward_hook(lambda *_: calls.append(1))
    for places in (7, 3, 1):
        monkeypatch.setattr(module, "LOGITS", places * 20)
        head_and_gradients(model, given)
    assert len(calls) == 3
    assert head(given.hidden).shape == (7, 20)
    assert "forward" not in vars(head)


class Alive(TorchDispatchMode):
    """The most bytes that tensors made within it take together at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.alive = 0, dict[int, int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for storage in (one.untyped_storage() for one in tree_leaves(made) if isinstance(one, torch.Tensor)):
            if storage._cdata not in self.alive:
                self.alive[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, storage._cdata)
        self.most = max(self.most, sum(self.alive.values()))
        return made


def test_logits_in_portions_take_the_memory_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 places, 1000 tokens: 256,000 logits, in the backward pass three times 4 bytes each; 3 MB and the weights.

    Of the head's weights, 128 KB, and their gradient there are a few copies. Of 8 portions one takes 384 KB.
    """
    model, peaks = tiny_model("qwen2", 1000), []
    for logits in (256_000, 32_000):
        monkeypatch.setattr(module, "LOGITS", logits)
        hidden, place = torch.ones(256, 32, requires_grad=True), torch.arange(256)
        with Alive() as alive:
            token_log_probabilities(model, hidden, place, place).sum().backward()
        peaks.append(alive.most)
    assert 3_000_000 < peaks[0] < 3_500_000
    assert 384_000 < peaks[1] < 384_000 + 5 * 128_000
