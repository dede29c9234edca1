"""One step of every phase on a model of the real shape with random weights: shape and memory errors in minutes.

Texts are digits of a stand-in tokenizer, one token each, as long as asked; the model has all rows of its vocabulary.
Sampling, labelling and each training go through the code that the run goes through, with the settings' own numbers of
rows computed at once. What is drawn is noise, so nothing of it is worth keeping.
"""

import dataclasses
import gc
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from sapo.labelling.labellers import LabelItem, Rules, label
from sapo.labelling.rollouts import Rollouts
from sapo.models.adapters import end_training
from sapo.models.encoding import Encoder
from sapo.models.hardware import OutOfMemory, cast, check_device, on_device
from sapo.models.loading import save_reasoner
from sapo.plan.memory import Lengths, phases
from sapo.records import Question, Trajectory
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.settings import ScratchSettings, Settings
from sapo.tasks.benchmarks import gsm8k
from sapo.tasks.task import Task
from sapo.train.fit import RunContext
from sapo.train.from_scratch import build_tokenizer
from sapo.train.launch import Job, run
from sapo.train.trainer import Trainer

STEPS = 4  # of a made-up trajectory


@dataclass(frozen=True, slots=True)
class Measured:
    """One phase: seconds, and the peak of the device's memory in bytes (of the process, where it is the CPU)."""

    phase: str
    seconds: float
    peak: int


def reduced(config: PretrainedConfig, layers: int = 0, vocabulary: int = 0) -> PretrainedConfig:
    """The same architecture with fewer layers or rows of the vocabulary; 0 leaves them as they are."""
    values = config.to_dict()
    for derived in ("layer_types", "architectures", "transformers_version"):
        values.pop(derived, None)
    values["num_hidden_layers"] = layers or config.num_hidden_layers
    values["vocab_size"] = vocabulary or config.vocab_size
    if vocabulary:
        values |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    return AutoConfig.for_model(values.pop("model_type"), **values)


def stand_in() -> Encoder:
    """A tokenizer with one token for every digit and line end."""
    shape = ScratchSettings(vocabulary=300, hidden=8, layers=1, heads=1, context=8, epochs=1, lr=1.0, batch_size=1)
    return Encoder(build_tokenizer(["0123456789\n"], shape))


def dry_run(settings: Settings, config: PretrainedConfig, lengths: Lengths, rows: int) -> Iterator[Measured]:
    """Run each phase that the settings' methods use, and yield what it took.

    Args:
        rows: drawn together.

    Raises:
        NoDevice, ExtraMissing: what the settings want is not here.
        OutOfMemory: a phase does not fit; names it and the setting to lower.
    """
    check_device(settings.tuning)
    torch.manual_seed(settings.seed)
    made = _Texts(stand_in(), lengths)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    work: dict[str, Callable[[], object]] = {
        "sampling": partial(_sample, settings, model, made, rows),
        "labelling": partial(_label, settings, model, made, rows),
    }
    lower = dict.fromkeys(work, "sampling.rows")
    for trainer in phases(settings):
        work[trainer.name] = partial(_train, settings, model, made, trainer)
        lower[trainer.name] = trainer.lower[0]
    for phase, do in work.items():
        yield _measured(phase, do, lower[phase], settings.tuning.device)


def _measured(phase: str, do: Callable[[], object], lower: str, device: str) -> Measured:
    gc.collect()
    reset_peak(device)
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # TRL asks transformers by names that the next major version drops.
            warnings.filterwarnings("ignore", "`gradient_checkpointing_(en|dis)able` is deprecated", FutureWarning)
            do()
    except (torch.OutOfMemoryError, OutOfMemory, MemoryError) as error:
        raise OutOfMemory(
            f"dry run: phase {phase} does not fit into the memory of {device}: lower {lower}; `python -m sapo "
            "plan` says what else would help"
        ) from error
    return Measured(phase, time.perf_counter() - started, peak_memory(device))


def reset_peak(device: str) -> None:
    """Forget peaks of earlier phases, where the system can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return  # the peak is then that of all phases so far


def peak_memory(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class _Texts:
    """Prompts and completions of given lengths, no two alike."""

    task: Task = gsm8k

    def __init__(self, encoder: Encoder, lengths: Lengths) -> None:
        self.encoder, self.lengths, self.chance = encoder, lengths, random.Random(1)

    def line(self, tokens: int) -> str:
        return "".join(self.chance.choices("0123456789", k=max(tokens - 1, 1))) + "\n"

    def prompt(self) -> str:
        return self.line(self.lengths.prompt)

    def steps(self) -> tuple[str, ...]:
        return tuple(self.line(self.lengths.completion // STEPS) for _ in range(STEPS))

    def question(self, number: int) -> Question:
        return Question(f"dry/train/{number}", self.prompt(), "1")


def _sampler(settings: Settings, model: PreTrainedModel, made: _Texts, rows: int) -> LocalSampler:
    """Casts the model, which the training phases cast back."""
    cast(on_device(model, settings.tuning), settings.tuning)
    return LocalSampler(model, made.encoder, rows)


def _sample(settings: Settings, model: PreTrainedModel, made: _Texts, rows: int) -> None:
    requests = [Request(made.prompt(), "", number) for number in range(rows)]
    _sampler(settings, model, made, rows).complete(requests, 1.0, made.lengths.completion)


def _label(settings: Settings, model: PreTrainedModel, made: _Texts, rows: int) -> None:
    """One wrong trajectory by bisection, with as many rollouts a position as rows or the settings allow."""
    own = dataclasses.replace(settings.rollouts, per_position=min(settings.rollouts.per_position, rows), lazy=False)
    rollouts = Rollouts(gsm8k, _sampler(settings, model, made, rows), own, made.lengths.completion, 1)
    question = made.question(0)
    trajectory = Trajectory("t", question.id, made.steps(), "wrong", "sample")
    label("omega", [LabelItem(question, trajectory)], rollouts, Rules(settings.labels, settings.detect, settings.saps))


def _train(settings: Settings, model: PreTrainedModel, made: _Texts, trainer: Trainer) -> None:
    """One step on as many examples as go through the model together; a verifier scores its examples afterwards."""
    section = getattr(settings, trainer.section)
    tuning = dataclasses.replace(settings.tuning, devices=1)
    rows = trainer.data.stand_in(made, trainer.examples(section))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if tuning.kind != "full" and trainer.from_reasoner:  # TRL loads a reference from where the model is
            save_reasoner(model, made.encoder, folder / "reasoner")
            model.config._name_or_path = str(folder / "reasoner")
        job = Job(trainer.name, folder, rows, section, 1, 1, tokens=1.0)  # one step
        made_ = run(job, (model.float(), made.encoder), tuning, RunContext(None, folder / "training")).made
    if trainer.verifier:
        made_.score([(example.prompt, example.steps) for example in rows])
        end_training(model, tuning)  # the verifier was made beside it
