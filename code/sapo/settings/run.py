"""Sections that say what a run is about: data, models, tasks, cells of the graph, what is measured, the report."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where questions come from. `root` holds the files of real benchmarks; embedded ones live in `data/`."""

    root: str
    hub: bool
    protocol: Literal["paper", "standard"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A pretrained reasoner: `nano` ships in `data/models`, `scratch` is made from training text, `hub` is fetched.

    Models of kind `scratch` are of qwen2, gemma2 or llama.
    """

    kind: Literal["nano", "scratch", "hub"]
    architecture: Literal["qwen2", "gemma2", "gemma", "llama", "phi"]
    hub_id: str
    revision: str


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """Low-rank adapters on every linear layer of the backbone: W + alpha / rank * B A. Only A and B are trained."""

    rank: int
    alpha: float
    dropout: float


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """Where models compute, in which precision, and which of their weights are trained.

    Args:
        kind: full: all weights. lora: adapters on frozen weights. qlora: adapters on weights frozen in 4 bits (NF4).
            Adapters are merged into the weights after each training run, so that a reasoner is always a whole model.
        device: that every model is on.
        dtype: of the arithmetic, and of frozen weights; weights that are trained are kept in float32.
        gradient_checkpointing: activations are computed again for the backward pass, layer by layer.
        reasoner, verifier: sizes of their adapters; nothing to `full`.
        devices: that share the batches of SFT, ORPO, DPO, GRPO and the verifier, a process each.
        accelerate: configuration file of accelerate's for these processes: machines, or a model in parts (DeepSpeed,
            FSDP 2); "": one machine, plain data parallel.
    """

    kind: Literal["full", "lora", "qlora"]
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    reasoner: AdapterSettings
    verifier: AdapterSettings
    devices: int = 1
    accelerate: str = ""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What draws completions. Only `hf` draws the same tokens everywhere; others draw the same greedy ones.

    Args:
        kind: hf: the embedded sampler. vllm: vLLM in this process. server: an endpoint with `/v1/completions`.
        memory: of `vllm`: share of the GPU's memory that it takes.
        url: of `server`. It must load a model by its path, or serve this one under its path as name.
        dialect: of `server`. ids: prompts are token ids (vLLM, SGLang, llama.cpp). transformers: prompts are texts, and
            sampling is asked for as `transformers serve` wants it.
        concurrency: requests at once to `server`.
        key: environment variable with the key of `server`; "" where it needs none.
        actors: Ray actors that share the requests, each with an engine of its own; 0: no Ray.
        cluster: of `actors`: `local`, `auto` or an address of Ray.
    """

    kind: Literal["hf", "vllm", "server"]
    memory: float
    url: str
    dialect: Literal["ids", "transformers"]
    concurrency: int
    key: str
    actors: int
    cluster: str


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """An in-domain task with its out-of-domain partner; counts take the first questions of a split.

    Args:
        ood: task that is only evaluated on.
        sft_questions: training questions whose gold rationale SFT sees.
        train_questions: training questions to sample from.
        test_questions, ood_questions: questions to evaluate on.
        max_new_tokens: limit of one completion.
    """

    ood: str
    sft_questions: int
    train_questions: int
    test_questions: int
    ood_questions: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Methods that run side by side, each of them for every seed."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CellSettings:
    """A group of methods on one model and task."""

    model: str
    task: str
    group: str


@dataclass(frozen=True, slots=True)
class ScratchSettings:
    """A small base model trained on the training text of the tasks (`kind: scratch`)."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    context: int
    epochs: int
    lr: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class ProcessBenchmarkSettings:
    """One process benchmark: who writes its trajectories and who finds their first wrong step.

    Args:
        first, second: models whose SFT reasoners write one trajectory a question each.
        annotator: the oracle (embedded tasks) or rollouts.
        judge: the model whose SFT reasoner draws the annotator's rollouts; "" with the oracle.
    """

    first: str
    second: str
    annotator: Literal["oracle", "rollout"]
    judge: str


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Sizes of the process benchmarks and of best-of-N, N up to `rerank_samples`.

    `samples` are drawn from each reasoner for each of the first test `questions`, one is taken; of `votes` annotations
    by rollouts `agree` must say the same.
    """

    questions: int
    samples: int
    votes: int
    agree: int
    rerank_questions: int
    rerank_samples: int


@dataclass(frozen=True, slots=True)
class EfficiencySettings:
    """Wrong trajectories that every labeller labels, to compare what labels cost and how true they are (figure 6)."""

    trajectories: int


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Bootstrap resamples of every interval, and where the report goes.

    Args:
        profile: that the settings were composed for; equals `Settings.profile`.
        results, figures: folders below the repository's root; two profiles must not share them.
        readme: also rewrite the README's results.
    """

    profile: str
    resamples: int
    results: str
    figures: str
    readme: bool
