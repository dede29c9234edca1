"""How long the texts of a task are and how they end: what a plan cannot compute.

Embedded tasks are measured (`measured.json`), real ones are assumed until a run of them is: `python -m sapo plan
--measure` takes what the run of params.yaml has on disk (`plan/calibration.py`). Lengths are tokens, shares 0 to 1.
"""

from dataclasses import dataclass
from pathlib import Path

from sapo.records import BadInput, read_plain_json
from sapo.settings import build


class UnknownTexts(BadInput):
    """A plan knows nothing of a task's texts; the message names the ones that it knows."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Of the first samples of a task's SFT model, and what comes of them.

    Args:
        prompt, gold, completion: mean tokens; the last two with their end token.
        steps: of a wrong trajectory.
        right: share of samples. different: share of samples that are no repetition.
        different_right: share of the different ones. unseen: share of a later round's different ones that no earlier
            round has drawn.
        merged: share of the prefixes to be asked that are no repetitions of each other.
        apart: tokens of texts in trees of their prompts, by tokens of the same in rows of their own: all samples of
            the first round; what those of a later round add; a subset of one a question or so; pairs.
        expanded: share of `expansion.max_per_trajectory` that a wrong trajectory yields.
        paired: share of the possible pairs (`per_question` of each question) that are made, by outcome and by score.
        judging: seconds of one core to judge a program; 0 where answers are numbers.
        source: measured where and when, or assumed from what.
    """

    prompt: float
    gold: float
    completion: float
    steps: float
    right: float
    different: float
    different_right: float
    unseen: float
    merged: float
    apart: tuple[float, float, float, float]
    expanded: float
    paired: tuple[float, float]
    judging: float
    source: str

    @property
    def row(self) -> float:
        """Tokens of a prompt with a completion."""
        return self.prompt + self.completion

    @property
    def measured(self) -> bool:
        return self.source.startswith("measured")


ASSUMED = {
    "gsm8k": Texts(
        prompt=70.0,
        gold=125.0,
        completion=130.0,
        steps=5.0,
        right=0.3,
        different=0.97,
        different_right=0.29,
        unseen=0.97,
        merged=1.0,
        apart=(0.75, 0.6, 0.95, 0.8),
        expanded=0.6,
        paired=(0.6, 0.8),
        judging=0.0,
        source="assumed: 3.5 characters a token of the gold rationales, accuracies near the papers' SFT",
    ),
    "mbpp": Texts(
        prompt=150.0,
        gold=65.0,
        completion=75.0,
        steps=6.0,
        right=0.3,
        different=0.95,
        different_right=0.29,
        unseen=0.97,
        merged=1.0,
        apart=(0.5, 0.35, 0.9, 0.65),
        expanded=0.6,
        paired=(0.6, 0.8),
        judging=0.05,
        source="assumed: 3.5 characters a token of the gold programs, accuracies near the papers' SFT",
    ),
}
MEASURED = Path(__file__).with_name("measured.json")  # `python -m sapo plan --measure` writes it
TEXTS = {task: build(Texts, own, f"{MEASURED}: {task}") for task, own in read_plain_json(MEASURED).items()}
TEXTS |= {task: texts for task, texts in ASSUMED.items() if task not in TEXTS}
# Out-of-domain questions are answered only: (prompt, completion).
ANSWERED = {
    "nano_math_ood": (40.0, 45.0),
    "nano_code_ood": (17.0, 22.0),
    "math": (90.0, 200.0),
    "humaneval": (160.0, 90.0),
    "mmlu_math": (80.0, 150.0),
}


def texts_of(task: str) -> Texts:
    """Raises UnknownTexts."""
    if task not in TEXTS:
        raise UnknownTexts(f"tasks: {task}: a plan knows the texts of {', '.join(TEXTS)} alone (sapo/plan/texts.py)")
    return TEXTS[task]


def answered(task: str) -> tuple[float, float]:
    """Tokens of a question's prompt and of an answer. Raises UnknownTexts."""
    if task in ANSWERED:
        return ANSWERED[task]
    texts = texts_of(task)
    return texts.prompt, texts.completion
