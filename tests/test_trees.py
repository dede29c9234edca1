"""Sequences that begin alike as one row: each token once, and what it sees is its own sequence."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_model
from torch.testing import assert_close

from sapo.models.trees import LARGEST, Tree, common, gathered, head_logits, plant, tree_hidden

SEQUENCES = st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple)


def test_a_tree_by_hand() -> None:
    """ab, abcd and ad: a b c d' d, where b is followed by c d' and a by everything.

    In the order of the walk: ab is a part of abcd, ad branches off behind a.
    """
    (tree,) = plant([((1, 2),), ((1, 4),), ((1, 2, 3, 4),)], ["q"] * 3, 9)
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
    trees = plant(units, groups, most)
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
    """Ten sequences of 5 tokens that share nothing, at most 4 * 5 tokens a tree."""
    trees = plant([((number,) * 5,) for number in range(10)], [0] * 10, 99)
    assert [len(tree.ids) for tree in trees] == [LARGEST * 5, LARGEST * 5, 10]


@pytest.mark.parametrize("window", [64, 3])
@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gemma", "llama", "phi"])
def test_hidden_states_and_gradients_equal_those_of_separate_rows(architecture: str, window: int) -> None:
    """Also under a sliding window shorter than the rows, and beside a longer tree that adds padding."""
    model = tiny_model(architecture, 20, window=window)
    units = [((1, 2, 3, 4, 5),), ((1, 2, 3, 9),), ((1, 7),), ((1, 2, 3, 4, 5, 6, 7, 8),), ((5, 4, 3),)]
    trees = plant(units, [0, 0, 0, 0, 1], 9)
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
