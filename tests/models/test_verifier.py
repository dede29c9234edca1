from pathlib import Path

import pytest
import torch
from tiny_models import tiny_reasoner

from sapo.models import verifier as module
from sapo.models.flops import prefill_flops
from sapo.models.loading import LoadingError, save_reasoner
from sapo.models.verifier import Verifier
from sapo.records import Cost
from sapo.settings import FitSettings, VerifierSettings
from sapo.train.verifier import VerifierExample, train_verifier

ITEMS = [
    ("Ben has 3.\n", ("3 + 2 = 5\n", "answer 5")),
    ("Ben has 15 coins. How many has Cy?\n", ("Cy : Ben + 3\n", "15 + 3 = 18\n", "so\n", "answer 18\n")),
    ("naïve?\n", ("café 数\n",)),
] * 5


def fresh(architecture: str = "qwen2", seed: int = 1) -> Verifier:
    """An untrained verifier with a large head, so that scores differ visibly."""
    verifier = Verifier.from_reasoner(*tiny_reasoner(architecture), seed).eval()
    with torch.no_grad():
        verifier.head.weight.mul_(20)
    return verifier


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "llama"])
def test_score_of_a_step_is_the_score_of_its_prefix_alone(architecture: str) -> None:
    """V(q, s_1…s_j) by its own pass over the prefix, head on the last token: one pass reads the right positions."""
    verifier = fresh(architecture)
    prompt, steps = ITEMS[1]
    (scores,) = verifier.score([(prompt, steps)])
    for j in range(1, len(steps) + 1):
        ids = verifier.encoder.encode(prompt, "".join(steps[:j]), eos=False).ids
        with torch.no_grad():
            hidden = verifier.backbone(input_ids=torch.tensor([ids])).last_hidden_state
            alone = torch.sigmoid(verifier.head(hidden[0, -1])).item()
        assert scores[j - 1] == pytest.approx(alone, abs=1e-5)
    assert max(scores) - min(scores) > 0.01


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "llama"])
def test_scores_do_not_depend_on_batching(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = fresh(architecture)
    together = verifier.score(ITEMS)
    monkeypatch.setattr(module, "BATCH_TOKENS", 1)
    for one, other in zip(together, verifier.score(ITEMS), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert [len(scores) for scores in together] == [len(steps) for _, steps in ITEMS]
    assert verifier.score([]) == []


def test_cost_of_scoring_is_added_up() -> None:
    verifier = fresh()
    assert verifier.cost == Cost()
    verifier.score(ITEMS[:1])
    once = verifier.cost
    length = len(verifier.encoder.encode_steps(*ITEMS[0]).ids)
    assert once.prompt_tokens == length and once.rollouts == once.generated_tokens == 0
    assert once.flops == prefill_flops(verifier.backbone.config, length, False) + 2 * 32 * 2  # two steps, hidden 32
    assert once.seconds > 0
    verifier.score(ITEMS[:1])
    assert verifier.cost.flops == 2 * once.flops and verifier.cost.prompt_tokens == 2 * length


def test_nan_scores_name_the_trajectory() -> None:
    verifier = fresh()
    with torch.no_grad():
        verifier.head.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"trajectory \d+ has NaN scores; its prompt is "):
        verifier.score(ITEMS[:1])


def test_saved_and_loaded_scores_are_the_same_and_so_are_the_bytes(tmp_path: Path) -> None:
    verifier = fresh()
    verifier.save(tmp_path / "a")
    loaded = Verifier.load(tmp_path / "a")
    for one, other in zip(loaded.score(ITEMS), verifier.score(ITEMS), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    loaded.save(tmp_path / "b")
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


def test_a_reasoner_is_no_verifier(tmp_path: Path) -> None:
    save_reasoner(*tiny_reasoner(), tmp_path)
    with pytest.raises(LoadingError, match=r"no verifier \(verifier_head.safetensors is missing\)"):
        Verifier.load(tmp_path)


def test_head_depends_on_the_seed_and_backbone_is_a_copy() -> None:
    model, encoder = tiny_reasoner()
    one, two, other = (Verifier.from_reasoner(model, encoder, seed) for seed in (1, 1, 2))
    assert torch.equal(one.head.weight, two.head.weight) and not torch.equal(one.head.weight, other.head.weight)
    with torch.no_grad():
        for weight in one.backbone.parameters():
            weight.zero_()
    assert torch.count_nonzero(torch.cat([weight.flatten() for weight in model.parameters()])) > 0


def examples() -> list[VerifierExample]:
    """A rule to learn: a step with an 'x' and all after it are wrong."""
    return [
        VerifierExample(
            f"t{n}",
            f"Question {n % 7}\n",
            tuple("x\n" if j == n % 5 else "a\n" for j in range(4)),
            tuple(int(j < n % 5) for j in range(4)),
        )
        for n in range(60)
    ]


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_verifier_learns_where_errors_are(loss: str) -> None:
    settings = VerifierSettings(loss, FitSettings(lr=5e-3, epochs=12, batch_size=8, warmup=0.1))  # pyright: ignore[reportArgumentType]
    model, encoder = tiny_reasoner()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    verifier, log, _ = train_verifier(model, encoder, examples(), settings, seed=1)
    assert len(log) == 12 * 8 and log[-1].epoch == 12
    scores = verifier.score([(example.prompt, example.steps) for example in examples()])
    right = [
        (score > 0.5) == bool(label)
        for example, row in zip(examples(), scores, strict=True)
        for score, label in zip(row, example.labels, strict=True)
    ]
    assert sum(right) / len(right) > 0.97
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_same_seed_same_verifier_bit_for_bit() -> None:
    settings = VerifierSettings("mse", FitSettings(lr=1e-3, epochs=2, batch_size=8, warmup=0.1))
    runs = [train_verifier(*tiny_reasoner(), examples(), settings, seed)[:2] for seed in (1, 1, 2)]
    weights = [torch.cat([weight.flatten() for weight in verifier.parameters()]) for verifier, _ in runs]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert runs[0][1] == runs[1][1]


@pytest.mark.parametrize("labels", [(1, 1, 0), (1, 1, 0, 0, 0), ()])
def test_label_and_step_counts_must_match(labels: tuple[int, ...]) -> None:
    settings = VerifierSettings("mse", FitSettings(1e-3, 1, 8, 0.1))
    bad = [examples()[0], VerifierExample("t9", "q\n", ("a\n",) * 4, labels)]
    with pytest.raises(ValueError, match=f"labels has {len(labels)} entries for 4 steps of trajectory t9"):
        train_verifier(*tiny_reasoner(), bad, settings, 1)


def test_trajectory_without_steps_is_refused() -> None:
    settings = VerifierSettings("mse", FitSettings(1e-3, 1, 8, 0.1))
    with pytest.raises(ValueError, match="0 steps of trajectory t9"):
        train_verifier(*tiny_reasoner(), [VerifierExample("t9", "q\n", (), ())], settings, 1)
