from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from fakes import LetterTask, LineTask, question
from tiny_models import byte_level, tiny_model, tiny_reasoner
from torch import nn
from transformers import LlamaConfig

from sapo.models.encoding import Encoder
from sapo.models.flops import generation_flops, prefill_flops
from sapo.records import BadInput, Question, Verdict
from sapo.settings import GrpoSettings
from sapo.tasks.math_grading.grading import GraderErrors
from sapo.train.fit import RunContext, TrainingDiverged
from sapo.train.grpo import train_grpo
from sapo.train.rl_task import Judge, RlTask

GRPO = GrpoSettings(beta=0.04, group=8, temperature=1.0, steps=20, questions_per_step=4, lr=2e-2)


class OneTokenTask(LineTask):
    """Right is exactly the answer."""

    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        return ["right" if one.answer == text else "wrong" for one, text in zip(questions, completions, strict=True)]


class BrokenTask(LineTask):
    def grade(self, questions: Sequence[Question], completions: Sequence[str]) -> list[Verdict]:
        return ["grader_error"] * len(completions)


def letters(count: int = 4) -> list[Question]:
    wanted = ["letter", "other"] * count
    return [Question(f"q{n}", f"Say {n} {wanted[n][0]}", wanted[n]) for n in range(count)]


def rl_task(task: LineTask, tokens: int = 4, questions: Sequence[Question] | None = None) -> RlTask:
    return RlTask(task, letters() if questions is None else questions, tokens)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_rewards_reach_their_completions(tmp_path: Path) -> None:
    """Questions of one step want opposite answers: rewards that reached another's answers would teach nothing."""
    model, encoder = tiny_reasoner()
    task = LetterTask()
    log = train_grpo(model, encoder, [rl_task(task, 1)], GRPO, 1, RunContext(None, tmp_path)).log
    assert [entry.step for entry in log] == list(range(1, 21))
    right = [LetterTask.right(*pair) for pair in task.graded]
    shares = [sum(right[start : start + 32]) / 32 for start in range(0, 20 * 32, 32)]
    assert len(right) == 20 * 32
    assert [entry.measures["reward"] for entry in log] == pytest.approx(shares)
    assert sum(shares[-3:]) / 3 > 0.9 > 0.7 > shares[0]
    assert set(log[0].measures) == {"reward", "flat_groups", "tokens", "cut_off", "entropy", "kl"}
    assert log[0].measures["kl"] == pytest.approx(0, abs=1e-5) and log[-1].measures["kl"] > 0.01


def test_one_rewarded_token_becomes_likelier(tmp_path: Path) -> None:
    """One question, one token an answer, one step: what is right, the likeliest token, is drawn more often after it."""
    model, encoder = tiny_reasoner()
    prompt = "Say it:\n"
    ids = torch.tensor([encoder.prompt_ids(prompt)])
    with torch.no_grad():
        before = model(ids).logits[0, -1].softmax(-1)
    wanted = int(before.argmax())
    questions = [Question("q", prompt, encoder.tokenizer.batch_decode([[wanted]])[0])]
    settings = GrpoSettings(0.0, 256, 1.0, 1, 1, 1e-3)
    _, (entry,), cost = train_grpo(
        model, encoder, [rl_task(OneTokenTask(), 1, questions)], settings, 1, RunContext(None, tmp_path)
    )
    assert entry.measures["reward"] == pytest.approx(before[wanted].item(), abs=0.05) and entry.measures["reward"] > 0
    assert "kl" not in entry.measures and cost.generated_tokens == cost.rollouts == 256
    with torch.no_grad():
        assert model(ids).logits[0, -1].softmax(-1)[wanted] > 1.05 * before[wanted]


def test_prompts_are_the_encoders_and_texts_are_the_samplers(tmp_path: Path) -> None:
    """A tokenizer that closes what it encodes with an end token would have the model answer after the end."""
    tokenizer = byte_level(bos=True)
    model, encoder = tiny_model("gemma2", len(tokenizer)), Encoder(tokenizer)
    prompt = letters()[0].prompt
    assert tokenizer(prompt)["input_ids"] == [*encoder.prompt_ids(prompt), encoder.eos_id]
    seen: list[list[int]] = []
    with model.get_input_embeddings().register_forward_pre_hook(lambda _, args: seen.extend(args[0].tolist())):
        train_grpo(
            model,
            encoder,
            [rl_task(LetterTask(), 2, letters(1))],
            GrpoSettings(0.0, 2, 1, 1, 1, 1e-3),
            1,
            RunContext(None, tmp_path),
        )
    assert seen[:2] == [list(encoder.prompt_ids(prompt))] * 2


def test_judge_reads_answers_without_their_end_by_hand() -> None:
    """Characters as tokens: `a <eos>` is the text a and has two tokens; `1 a` begins with no letter."""
    encoder = Encoder(byte_level())
    questions = [*letters(2), Question("x", "Say x:\n", "letter", tests=("assert True",))]
    task = LetterTask()
    judge = Judge(RlTask(task, questions, 4), encoder)
    a, one = (encoder.completion_ids(text)[0] for text in "a1")
    prompts = [questions[number].prompt for number in (2, 2, 1)]
    assert judge.reward(prompts, [[a, encoder.eos_id], [one, a], [one]], [2, 2, 1], trainer_state=None) == [1, 0, 1]
    assert task.graded == [("letter", "a"), ("letter", "1a"), ("other", "1")]
    assert judge.programs == 2  # the answers to the question that has tests
    lengths = [len(encoder.prompt_ids(prompt)) for prompt in prompts]
    assert judge.lengths == [(lengths[0], 2), (lengths[1], 2), (lengths[2], 1)]


@pytest.mark.parametrize(("reference", "passes"), [(True, 4), (False, 3)])
def test_cost_by_hand(reference: bool, passes: int) -> None:
    """Two answers of 3 and 1 tokens to prompts of 5: 10 prompt tokens, 4 new ones; rows of 8 and 6 learnt from.

    Learning is 3 passes over each row; the reference's is one more.
    """
    config = LlamaConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=10, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    judge = Judge(rl_task(LetterTask()), Encoder(byte_level()), lengths=[(5, 3), (5, 1)], programs=2)
    cost = judge.cost(config, reference, 1.5)
    assert (cost.rollouts, cost.prompt_tokens, cost.generated_tokens) == (2, 10, 4)
    assert (cost.seconds, cost.programs) == (1.5, 2)
    drawn = generation_flops(config, 5, 3) + generation_flops(config, 5, 1)
    # A token 1,152, its logits 160, attention 32 for each pair of tokens (test_flops): 8 and 6 tokens.
    rows = 8 * (1152 + 160) + 32 * 64 + 6 * (1152 + 160) + 32 * 36
    assert rows == prefill_flops(config, 8, True) + prefill_flops(config, 6, True)
    assert cost.flops == drawn + passes * rows


def test_costs_of_a_run(tmp_path: Path) -> None:
    """2 steps of 2 questions with 4 answers each."""
    model, encoder = tiny_reasoner()
    cost = train_grpo(
        model, encoder, [rl_task(LetterTask())], GrpoSettings(0.0, 4, 1.0, 2, 2, 1e-3), 1, RunContext(None, tmp_path)
    ).cost
    lengths = [len(encoder.prompt_ids(one.prompt)) for one in letters()]
    assert cost.rollouts == 16 and cost.programs == 0
    assert cost.prompt_tokens == 4 * sum(lengths)  # 2 steps draw each of the 4 questions once
    assert 16 <= cost.generated_tokens <= 64 and cost.seconds > 0


def test_grpo_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, encoder = tiny_reasoner()
    before, config, decoding = set(vars(model)), model.config.to_dict(), model.generation_config.to_dict()
    train_grpo(
        model,
        encoder,
        [rl_task(LetterTask())],
        GrpoSettings(0.1, 2, 1.0, 1, 2, 1e-3),
        1,
        RunContext(None, tmp_path / "work"),
    )
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]
    assert set(vars(model)) == before and model.config.to_dict() == config and not model.training
    assert model.generation_config.to_dict() == decoding and model.config._name_or_path == ""


def test_grpo_repeats_bit_for_bit_and_follows_the_seed(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 1, 2):
        model, encoder = tiny_reasoner()
        task = LetterTask()
        log = train_grpo(
            model, encoder, [rl_task(task)], GrpoSettings(0.04, 4, 1.0, 3, 2, 1e-3), seed, RunContext(None, tmp_path)
        ).log
        runs.append((flat(model), log, task.graded))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1:] == runs[1][1:]
    assert not torch.equal(runs[0][0], runs[2][0]) and runs[0][2] != runs[2][2]


def test_an_answer_ends_where_the_context_does(tmp_path: Path) -> None:
    """A prompt of 254 in a context of 256 leaves 2 tokens; one of 256 leaves none."""
    model, encoder = tiny_reasoner()
    settings = GrpoSettings(0.0, 2, 1.0, 1, 1, 1e-3)
    long = [Question("long", "€" * (254 // len(encoder.completion_ids("€"))), "a")]
    length = len(encoder.prompt_ids(long[0].prompt))
    cost = train_grpo(model, encoder, [rl_task(LetterTask(), 100, long)], settings, 1, RunContext(None, tmp_path)).cost
    assert cost.generated_tokens <= 2 * (256 - length)
    model.config.max_position_embeddings = length
    with pytest.raises(BadInput, match=f"question long has {length} tokens and leaves no room"):
        train_grpo(model, encoder, [rl_task(LetterTask(), 100, long)], settings, 1, RunContext(None, tmp_path))


def test_too_few_questions_and_broken_graders_are_refused(tmp_path: Path) -> None:
    model, encoder = tiny_reasoner()
    with pytest.raises(BadInput, match="1 questions are too few for 4 a step"):
        train_grpo(model, encoder, [rl_task(LetterTask(), 4, letters(1))], GRPO, 1, RunContext(None, tmp_path))
    with pytest.raises(GraderErrors, match="4 of 4 answers could not be judged"):
        train_grpo(
            model,
            encoder,
            [rl_task(BrokenTask(), 4, [question()])],
            GrpoSettings(0.0, 4, 1, 1, 1, 1e-3),
            1,
            RunContext(None, tmp_path),
        )


def test_grpo_that_diverges_stops_at_once(tmp_path: Path) -> None:
    """A rate of 1e30 sends the weights out of range in one step; a model of NaN cannot even draw."""
    model, encoder = tiny_reasoner()
    before = set(vars(model))
    settings = GrpoSettings(0.04, 8, 1.0, 5, 4, 1e30)
    with pytest.raises(TrainingDiverged):
        train_grpo(model, encoder, [rl_task(LetterTask())], settings, 1, RunContext(None, tmp_path))
    assert not list(tmp_path.iterdir()) and set(vars(model)) == before
