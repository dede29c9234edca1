"""The card of a checkpoint, README.md beside its weights: data, method, results, licence, in the hub's format.

Every number is counted from the run's answers. The interval draws questions only: a checkpoint has one seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from sapo.report.names import learns_from, method_name
from sapo.report.run_records import BenchmarkResults, Checkpoint
from sapo.report.stats import accuracy_interval
from sapo.runtime.workspace import derive_seed, environment
from sapo.settings import ModelSettings, Settings
from sapo.tasks.catalog import EMBEDDED

LICENCE = "apache-2.0"
# Of the questions, by task; embedded ones are under the licence of this code.
QUESTIONS = {
    "gsm8k": "MIT",
    "math": "MIT",
    "mbpp": "CC BY 4.0",
    "humaneval": "MIT",
    "mmlu_math": "MIT",
}
ROUNDS = "Round {round} of {rounds} by method *{name}*, which learns from: {source}."
FIXED = {"cot": "The pretrained model itself.", "sft": "Fine-tuned on gold rationales (SFT)."}
LIMITS = """\
This is a checkpoint of a replication study. It answers the kind of question that it was trained on, in that format, and
is of no use for anything else. Nothing was done to make its answers safe."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which checkpoint: a reasoner of one model, task, method, round and seed."""

    model: str
    task: str
    checkpoint: Checkpoint
    seed: int

    @property
    def path(self) -> str:
        """SEED/METHOD/ROUND, its place below the folder of all methods."""
        return f"{self.seed}/{self.checkpoint.method}/{self.checkpoint.round}"


def model_card(settings: Settings, subject: Subject, benchmarks: tuple[BenchmarkResults, ...]) -> str:
    """Markdown with the hub's front matter.

    Args:
        settings: those that the checkpoint's method ran with.
        benchmarks: answers of the checkpoint with its seed.
    """
    model = settings.models[subject.model]
    parts = [
        f"---\n{yaml.safe_dump(front_matter(settings, subject), sort_keys=False)}---",
        f"# {subject.model}, {subject.task}: {method_name(subject.checkpoint.method)}",
        _origin(model),
        f"## Method\n\n{_method(settings, subject)}",
        f"## Data\n\n{_data(settings, subject)}",
        f"## Results\n\n{_results(settings, subject, benchmarks)}",
        f"## Licence\n\n{_licence(model, subject.task)}",
        f"## Limits\n\n{LIMITS}",
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What the hub reads: licence, library, base model."""
    model = settings.models[subject.model]
    found: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation", "language": ["en"]}
    if model.kind == "hub":
        # A derived model stays under the licence of the model that it is made from; the hub calls any such one `other`.
        found |= {"license": "other", "license_link": f"https://huggingface.co/{model.hub_id}"}
        found |= {"base_model": model.hub_id, "base_model_relation": "finetune"}
    else:
        found["license"] = LICENCE
    return found | {"tags": ["sapo-replication", subject.task, subject.checkpoint.method]}


def _origin(model: ModelSettings) -> str:
    if model.kind == "hub":
        return f"Made from [{model.hub_id}](https://huggingface.co/{model.hub_id}) at revision `{model.revision}`."
    return f"A laboratory model of architecture {model.architecture}, pretrained from random weights on synthetic text."


def _method(settings: Settings, subject: Subject) -> str:
    checkpoint, versions = subject.checkpoint, environment()["versions"]
    said = FIXED.get(checkpoint.method) or ROUNDS.format(
        round=checkpoint.round,
        rounds=len(settings.loop.updates),
        name=method_name(checkpoint.method),
        source=learns_from(checkpoint.method),
    )
    changes = settings.methods.get(checkpoint.method) or {}
    own = yaml.safe_dump(changes, default_flow_style=None).strip() if changes else "none: the defaults are this method"
    made = f"Profile `{settings.profile}`, seed {subject.seed}; weights trained: {settings.tuning.kind}, in "
    made += f"{settings.tuning.dtype}. Versions: {_listed(versions)}."
    if checkpoint.method in FIXED:
        return f"{said}\n\n{made}"
    return f"{said}\n\nSettings that it changes:\n\n```yaml\n{own}\n```\n\n{made}"


def _listed(versions: object) -> str:
    assert isinstance(versions, Mapping)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _data(settings: Settings, subject: Subject) -> str:
    limits = settings.tasks[subject.task]
    kind = "synthetic, made by this code" if subject.task in EMBEDDED else f"protocol `{settings.data.protocol}`"
    said = f"Task `{subject.task}` ({kind}): the first {limits.train_questions} training questions"
    if subject.checkpoint.method == "cot":
        return "None of the task's questions were used."
    return f"{said}, {limits.sft_questions} of them with gold rationales for SFT. Test questions are another split."


def _results(settings: Settings, subject: Subject, benchmarks: tuple[BenchmarkResults, ...]) -> str:
    rows = ["| Benchmark | Questions | Right | Accuracy | 95 % interval |", "|---|---|---|---|---|"]
    for benchmark in benchmarks:
        right = benchmark.right_S_Q(subject.checkpoint, [subject.seed])
        chance = derive_seed(settings.seed, "report", subject.model, subject.task, benchmark.name)
        value = accuracy_interval(right, benchmark.groups_Q, settings.report.resamples, chance)
        place = f"{benchmark.name}{'' if benchmark.name == subject.task else ', out of domain'}"
        rows.append(
            f"| {place} | {len(right[0])} | {sum(right[0])} | {value.value:.1%} | {value.low:.1%} to {value.high:.1%} |"
        )
    note = "Greedy answers to test questions. Intervals are bootstraps over questions, and say nothing of other seeds."
    return "\n".join([*rows, "", note])


def _licence(model: ModelSettings, task: str) -> str:
    weights = f"that of {model.hub_id}, from which they are derived" if model.kind == "hub" else "Apache-2.0"
    questions = QUESTIONS.get(task, "Apache-2.0")
    return f"Weights: {weights}. Training questions ({task}): {questions}. Code that made them: Apache-2.0."
