"""Base models made from training text: a tokenizer that loses nothing, weights that the seed alone decides."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import Gemma2ForCausalLM, LlamaForCausalLM, PreTrainedModel, Qwen2ForCausalLM

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import FastLinear
from sapo.records import BadInput
from sapo.settings import ScratchSettings
from sapo.tasks.steps import split_code, split_lines
from sapo.train.from_scratch import END, Architecture, build_model, build_tokenizer, train_scratch

torch.set_num_threads(1)

SETTINGS = ScratchSettings(vocabulary=400, hidden=16, layers=2, heads=2, context=24, epochs=2, lr=1e-2, batch_size=4)
MATHS = "Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips altogether.\n\n#### 72"
CODE = "def f(xs):\r\n\tif xs:\r\n\t\treturn xs[0]  # first\r\n\n    \n    return None\r\n"
TEXTS = [("Question: How many clips?\nAnswer:", MATHS), ("Write f.\n", CODE)] * 4
ODD = [
    MATHS,
    CODE,
    "",
    " ",
    "\t\t a  b\t\n\n\n",
    "\n\r \n\r  x\r",
    "3,141.59 % of 1234567890 and ½, ², 12٣",
    "naïve café 5 €, 数学 🙂👩‍👩‍👧, e\u0301 is not \u00e9, \u00a0\u2028\u3000|",
    "\x00\x07\x1b[0m \ufeff",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(build_tokenizer([prompt + solution for prompt, solution in TEXTS], SETTINGS))


@pytest.mark.parametrize("text", ODD)
def test_no_text_loses_a_character(encoder: Encoder, text: str) -> None:
    ids = encoder.completion_ids(text)
    assert encoder.tokenizer.decode(list(ids), skip_special_tokens=True) == text
    assert encoder.eos_id not in ids


def test_digits_and_line_ends_stand_alone(encoder: Encoder) -> None:
    """The corpus holds `72` and `\\n\\n` eight times each, which would be enough for a merge."""
    tokens = encoder.tokenizer.convert_ids_to_tokens(list(encoder.completion_ids("7272\n\n\r\n = 24")))
    assert tokens[:8] == ["7", "2", "7", "2", "Ċ", "Ċ", "č", "Ċ"]
    assert tokens[-2:] == ["2", "4"]
    assert any(len(token) > 4 for token in encoder.tokenizer.get_vocab() if token != END)  # words do merge


@pytest.mark.parametrize(("text", "split"), [(MATHS, split_lines), (CODE, split_code), (CODE, split_lines)])
def test_a_step_ends_with_a_token_of_its_own_and_prefixes_are_prefixes_in_tokens(
    encoder: Encoder, text: str, split: Callable[[str], tuple[str, ...]]
) -> None:
    steps = split(text)
    ends = [end + 1 - len(encoder.prompt_ids("Q\n")) for end in encoder.encode_steps("Q\n", steps).step_ends]
    lengths = [len(encoder.completion_ids(prefix)) for prefix in itertools.accumulate(steps)]
    assert len(steps) > 2
    assert ends == lengths


def test_the_vocabulary_is_as_large_as_asked_and_ends_a_text(encoder: Encoder) -> None:
    """256 bytes and the end token; the texts have merges enough for the rest of 300."""
    small = Encoder(build_tokenizer([MATHS, CODE], replace(SETTINGS, vocabulary=300)))
    assert len(small.tokenizer) == 300
    assert (encoder.tokenizer.eos_token, encoder.pad_id, encoder.leading) == (END, encoder.eos_id, ())


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("qwen2", Qwen2ForCausalLM), ("gemma2", Gemma2ForCausalLM), ("llama", LlamaForCausalLM)],
)
def test_a_seed_decides_the_weights_of_every_architecture(architecture: Architecture, kind: type) -> None:
    models = [train_scratch(architecture, TEXTS, SETTINGS, seed)[0] for seed in (1, 1, 2)]
    first, again, other = (model.state_dict() for model in models)
    assert all(type(model) is kind and not model.training for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    config = models[0].config
    assert (config.max_position_embeddings, config.hidden_size, config.num_hidden_layers) == (24, 16, 2)
    assert type(models[0].get_submodule("model.layers.0.mlp.up_proj")) is FastLinear


def test_the_seed_reaches_the_first_weights() -> None:
    """Without an epoch of training the first weights are left."""
    untrained = replace(SETTINGS, epochs=0)
    first, again, other = (train_scratch("qwen2", TEXTS, untrained, seed)[0].lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def loss(model: PreTrainedModel, encoder: Encoder) -> float:
    ids = torch.tensor([encoder.encode(*TEXTS[0]).ids[: SETTINGS.context]])
    with torch.inference_mode():
        return float(model(input_ids=ids, labels=ids).loss)


def test_training_learns_the_texts_up_to_the_context() -> None:
    """A uniform guess among 400 tokens costs ln 400 = 6.0; both texts are longer than the context."""
    torch.manual_seed(1)
    trained, encoder = train_scratch("qwen2", TEXTS, SETTINGS, 1)
    assert all(len(encoder.encode(*text).ids) > SETTINGS.context for text in TEXTS)
    fresh = build_model("qwen2", encoder, SETTINGS).eval()
    assert loss(fresh, encoder) > 5.5
    assert loss(trained, encoder) < loss(fresh, encoder) - 0.3


def test_no_texts_is_one_clear_error() -> None:
    with pytest.raises(BadInput, match="no training question has a gold rationale"):
        train_scratch("qwen2", [], SETTINGS, 1)
