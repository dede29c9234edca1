"""Pretraining documents, the tokenizer of the base models, and the training loop that they go through."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_model
from transformers import PreTrainedTokenizerFast

from sapo.models.encoding import Encoder
from sapo.models.nano import CONTEXT, build_model, build_tokenizer
from sapo.records import Question
from sapo.tasks.catalog import COUNTS, SEED
from sapo.tasks.nano import nano_code, nano_code_ood, nano_math, nano_math_ood
from sapo.tasks.nano.embedded import bucket
from sapo.tasks.nano.nano_code_lines import Scope, run_line
from sapo.tasks.nano.nano_code_world import parse_pipeline
from sapo.tasks.nano.nano_math_world import LARGEST, NAMES, parse_problem
from sapo.tasks.steps import split_lines as split
from sapo.train import pretrain as module
from sapo.train.pretrain import Document, PretrainSettings, documents, pretrain

DOCUMENTS = list(itertools.islice(documents(0), 2000))


def is_math(document: Document) -> bool:
    return "coins" in document.prompt


def returned(lines: tuple[str, ...], xs: list[int]) -> object:
    scope: Scope = {"xs": xs}
    for line in lines:
        name, scope[name] = run_line(line, scope)
    return scope["return"]


def ends_right(document: Document) -> bool:
    if is_math(document):
        problem = parse_problem(document.prompt)
        return document.solution.endswith(f"answer {problem.answer()}\n")
    pipeline = parse_pipeline(document.prompt)
    lines = split(document.solution)
    body = lines[1:] if lines[0] == nano_code.SIGNATURE else lines
    chance = random.Random(document.prompt)
    probes = [[chance.randint(0, 9) for _ in range(8)] for _ in range(8)]
    return all(returned(body, xs) == returned(tuple(pipeline.lines()), xs) for xs in probes)


def test_no_document_comes_from_a_question_of_any_split() -> None:
    assert {bucket(document.prompt) for document in DOCUMENTS} == {"pretrain"}
    prompts = {document.prompt for document in DOCUMENTS}
    for task in (nano_math, nano_math_ood, nano_code, nano_code_ood):
        assert not prompts & {question.prompt for question in task.generate("test", 200, SEED)}


def test_documents_are_the_same_every_time_and_differ_by_seed() -> None:
    assert list(itertools.islice(documents(0), 300)) == DOCUMENTS[:300]
    assert list(itertools.islice(documents(1), 300)) != DOCUMENTS[:300]


@pytest.mark.parametrize("of_math", [True, False])
def test_about_half_of_the_documents_end_right(of_math: bool) -> None:
    """So the right behaviour is known and not preferred. Documents of no habit's site are right in any case."""
    kind = [document for document in DOCUMENTS if is_math(document) == of_math]
    assert 0.2 < len(kind) / len(DOCUMENTS) < 0.8
    assert 0.35 <= sum(map(ends_right, kind)) / len(kind) <= 0.75


def test_both_styles_are_practised() -> None:
    """One in five documents is out-of-domain: a docstring, or a chain or question that nano-math never has."""
    code = [document for document in DOCUMENTS if not is_math(document)]
    assert 0.1 < sum('"""' in document.prompt for document in code) / len(code) < 0.3
    math = [document for document in DOCUMENTS if is_math(document)]
    assert 0.03 < sum("together?" in d.prompt or "How many more" in d.prompt for d in math) / len(math) < 0.3
    assert not any("= -" in document.solution for document in math)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer([document.prompt + document.solution for document in DOCUMENTS], NAMES)


def restored(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[str]:
    return tokenizer.batch_decode(tokenizer(texts)["input_ids"], skip_special_tokens=True)


def test_every_generated_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Documents, all training questions and their golds, and the out-of-domain tests; none fills the context."""
    texts = [part for document in DOCUMENTS for part in (document.prompt, document.solution)]
    for task in (nano_math, nano_code):
        texts += [part for q in task.generate("train", COUNTS["train"], SEED) for part in (q.prompt, q.solution)]
    for task in (nano_math_ood, nano_code_ood):
        texts += [part for q in task.generate("test", 200, SEED) for part in (q.prompt, q.answer)]
    assert restored(tokenizer, texts) == texts
    assert max(len(ids) for ids in tokenizer([d.prompt + d.solution for d in DOCUMENTS])["input_ids"]) < CONTEXT - 16


@given(st.text(max_size=60))
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert restored(tokenizer, [text]) == [text]


def test_texts_that_were_never_seen_fall_back_to_bytes(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["naïve café 数学 🙂\n", "  \t\r\n ", "Benjamin has 1234567 coins", "xs = [y for y in zs]\n", "\u200d\0"]
    assert restored(tokenizer, texts) == texts


def test_every_number_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    """Alone, in a computation, and as a value twice as large as any quantity."""
    for number in range(2 * LARGEST + 1):
        [token] = tokenizer.tokenize(str(number))
        assert token == str(number)
        assert str(number) in tokenizer.tokenize(f"15 + {number} = 18\n")


def test_prefixes_of_steps_are_prefixes_in_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """So a rollout goes on from exactly what training has seen."""
    encoder = Encoder(tokenizer)
    for document in DOCUMENTS[:300]:
        steps = split(document.solution)
        whole = encoder.completion_ids(document.solution)
        encoded = encoder.encode_steps(document.prompt, steps)
        for length in range(1, len(steps)):
            start = encoder.completion_ids("".join(steps[:length]))
            assert whole[: len(start)] == start
            assert encoded.step_ends[length - 1] == encoded.completion_start + len(start) - 1


@pytest.mark.parametrize("name", ["qwen2_nano", "llama_nano", "gemma2_nano"])
def test_base_models_are_small_enough_to_commit(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    """Under a million parameters; two bytes each make at most 2 MB."""
    model = build_model(name, len(tokenizer))
    assert model.num_parameters() < 1_000_000
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_an_unknown_base_model_is_refused() -> None:
    with pytest.raises(ValueError, match="'gpt_nano' is no nano model"):
        build_model("gpt_nano", 300)


def test_losses_fall_from_ln_v(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 steps of 8 documents: a fresh model's loss is near ln V = 6.2, afterwards it is well below."""
    monkeypatch.setattr(module, "POOL", 4)
    model = tiny_model("qwen2", len(tokenizer))
    model.set_attn_implementation("eager")  # as the stage does: fused attention is slow under autocast
    settings = PretrainSettings(documents=800, batch_size=8, lr=1e-2, warmup=5)
    curve = list(pretrain(model, tokenizer, settings, 0))
    assert [entry["step"] for entry in curve] == [50, 100]
    assert curve[1]["loss"] < curve[0]["loss"] < 6.2
    assert curve[1]["loss"] < 3.1


def test_prompts_and_padding_are_not_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    """Rows of 2 + 3 and 1 + 2 tokens: labels -100 on prompts and padding, the end token is a label."""
    ids, labels = module._pad([([11, 12], [13, 14, 1]), ([15], [16, 1])], 0)
    assert ids.tolist() == [[11, 12, 13, 14, 1], [15, 16, 1, 0, 0]]
    assert labels.tolist() == [[-100, -100, 13, 14, 1], [-100, 16, 1, -100, -100]]


def test_a_document_is_a_question_that_can_be_judged() -> None:
    document = next(document for document in DOCUMENTS if is_math(document))
    question = Question("d", document.prompt, str(parse_problem(document.prompt).answer()))
    assert nano_math.grade([question], [document.solution]) == ["right" if ends_right(document) else "wrong"]
