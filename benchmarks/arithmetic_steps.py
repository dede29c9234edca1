"""SHA-256 digests of small training, sampling and scoring steps and of single operations, as JSON on stdout.

What `arithmetic.py` and the nightly tests compare between processors, real or emulated: the libraries take the kernels
that this process's environment variables allow (`sapo.runtime.arithmetic`). Inputs are drawn once, from PyTorch's and
NumPy's integer generators, and are the same everywhere.
Run alone, from the repository's root: python benchmarks/arithmetic_steps.py [THREADS] → {"orpo": "…", "exp": "…", …}
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sapo.models.encoding import Encoder
from sapo.models.fast_linear import use_fast_linears
from sapo.models.loading import load_reasoner
from sapo.records import PreferencePair
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Request
from sapo.settings import FitSettings, OrpoSettings, VerifierSettings
from sapo.tasks.nano import nano_math
from sapo.tasks.task import DataSource
from sapo.train.orpo import train_orpo
from sapo.train.sft import train_sft
from sapo.train.verifier import VerifierExample, train_verifier

ASSETS = Path(__file__).parents[1] / "assets"
MODELS = ("qwen2_nano", "gemma2_nano")
FIT = FitSettings(lr=1e-3, epochs=2, batch_size=4, warmup=0.1)
QUESTIONS = 8
# Before the names of what no variable holds to one level: MKL's vector functions, which no stage calls.
UNPINNED = "unpinned: "


def hashed(values: Iterable[Any]) -> str:
    """Digest of tensors' and arrays' bytes, and of the JSON of anything else."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            value = value.detach().contiguous().numpy()
        found.update(value.tobytes() if isinstance(value, np.ndarray | np.generic) else json.dumps(value).encode())
    return found.hexdigest()


def steps(name: str) -> dict[str, str]:
    """Digests of weights after SFT, ORPO and the verifier's training, of drawn texts and of scores."""
    folder = ASSETS / "models" / name
    questions = [q for q in nano_math.load("train", DataSource(ASSETS)) if q.solution][:QUESTIONS]
    golds = [(question.prompt, question.solution) for question in questions]
    texts = [(prompt, nano_math.split(solution)) for prompt, solution in golds]

    def fresh() -> tuple[Any, Encoder]:
        return load_reasoner(folder)

    model, encoder = fresh()
    requests = [Request(prompt, "", seed) for seed, (prompt, _) in enumerate(golds)]
    drawn, _ = LocalSampler(model, encoder, 4).complete(requests, 1.0, 40)
    pairs = [
        PreferencePair(question.id, prompt, solution, answer.text or "no", 1.0, 0.0)
        for question, (prompt, solution), answer in zip(questions, golds, drawn, strict=True)
    ]
    found = {"sample": hashed([[answer.text, answer.tokens] for answer in drawn])}
    with torch.inference_mode():
        ids = torch.tensor([encoder.encode(*golds[0]).ids])
        found["logits"] = hashed([model(input_ids=ids).logits])

    examples = [VerifierExample(str(n), p, s, tuple(i % 2 for i in range(len(s)))) for n, (p, s) in enumerate(texts)]
    verifier = train_verifier(model, encoder, examples, VerifierSettings("mse", FIT), 1).made
    found["verifier"] = hashed(verifier.state_dict().values())
    found["scores"] = hashed(verifier.score(texts))
    model, encoder = fresh()
    train_orpo(model, encoder, pairs, OrpoSettings(0.1, "completion", FIT), 1)
    found["orpo"] = hashed(model.state_dict().values())
    model, encoder = fresh()
    train_sft(model, encoder, golds, FIT, 1)
    found["sft"] = hashed(model.state_dict().values())
    return {f"{name}: {step}": digest for step, digest in found.items()}


def numbers(*shape: int) -> Tensor:
    """Float32 numbers in [-4, 4) of 2^20 steps: integers of a seeded generator, divided exactly."""
    generator = torch.Generator().manual_seed(len(shape) * 1000 + shape[-1])
    return torch.randint(-(2**20), 2**20, shape, generator=generator).float() / 2**18


def linear(width: int) -> nn.Module:
    """A layer of `width` inputs by oneDNN (models/fast_linear.py); those of nano models have 96."""
    layer = nn.Sequential(nn.Linear(width, 256))
    layer[0].weight.data, layer[0].bias.data = numbers(256, width), numbers(256)
    use_fast_linears(layer)
    return layer


def through(work: Callable[[Tensor], Tensor], given: Tensor) -> list[Tensor]:
    """A result, and the gradient of its sum of squares."""
    leaf = given.clone().requires_grad_()
    result = work(leaf)
    result.square().sum().backward()
    assert leaf.grad is not None
    return [result, leaf.grad]


def attention(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x.flip(-1), x, is_causal=True)


def unpinned(name: str) -> list[Tensor]:
    """One of MKL's vector functions, of 1001 numbers in (0, 1)."""
    return [getattr(torch, name)(numbers(1001).abs() / 8 + 2**-20)]


def adam(fused: bool) -> list[Tensor]:
    """Three steps of AdamW with clipped gradients."""
    weight = nn.Parameter(numbers(33, 96))
    optimizer = torch.optim.AdamW([weight], lr=1e-3, fused=fused)
    for n in range(3):
        weight.grad = numbers(33, 96).roll(n)
        nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
    return [weight]


OPERATIONS: dict[str, Callable[[], Iterable[Any]]] = {
    "torch.exp": lambda: [numbers(1001).exp()],
    "torch.log": lambda: [numbers(1001).abs().log()],
    "torch.tanh": lambda: [numbers(1001).tanh()],
    "torch.sigmoid": lambda: [numbers(1001).sigmoid()],
    "torch.cos": lambda: [numbers(1001).cos()],
    "torch.rsqrt": lambda: [numbers(1001).abs().rsqrt()],
    "silu": lambda: through(nn.functional.silu, numbers(1001)),
    "gelu (tanh)": lambda: through(lambda x: nn.functional.gelu(x, approximate="tanh"), numbers(1001)),
    "sum": lambda: [numbers(1001).sum(), numbers(33, 1001).sum(0), numbers(33, 1001).sum(1)],
    "mean of squares": lambda: [numbers(33, 96).square().mean(-1)],
    "norm": lambda: [numbers(33, 1001).norm(), torch.linalg.vector_norm(numbers(1001))],
    "softmax": lambda: through(lambda x: x.softmax(-1), numbers(33, 517)),
    "log_softmax": lambda: through(lambda x: x.log_softmax(-1), numbers(33, 517)),
    "cumsum": lambda: [numbers(33, 517).cumsum(-1)],
    "attention": lambda: through(attention, numbers(2, 6, 37, 16)),
    "product (MKL)": lambda: [numbers(37, 96) @ numbers(96, 256), numbers(1, 96) @ numbers(96, 257)],
    "batched product (MKL)": lambda: [numbers(6, 37, 16) @ numbers(6, 16, 37)],
    "linear (oneDNN)": lambda: through(linear(96), numbers(128, 96)),
    "linear of 1000 (oneDNN)": lambda: through(linear(1000), numbers(128, 1000)),
    "AdamW, fused": lambda: adam(fused=True),
    f"{UNPINNED}AdamW, not fused": lambda: adam(fused=False),
    **{f"{UNPINNED}torch.{name}": partial(unpinned, name) for name in ("sqrt", "log10", "tan", "atan", "asin", "acos")},
    "numpy.exp": lambda: [np.exp(numbers(1001).numpy()), np.exp(numbers(1001).double().numpy())],
    "numpy.log": lambda: [np.log(np.abs(numbers(1001).double().numpy()) + 1)],
    "numpy.sum": lambda: [numbers(1001).numpy().sum(), numbers(33, 1001).double().numpy().mean(0)],
    "numpy product (OpenBLAS)": lambda: [numbers(37, 96).numpy() @ numbers(96, 256).numpy()],
    "numpy product of 1000, float64": lambda: [
        numbers(37, 1000).double().numpy() @ numbers(1000, 256).double().numpy()
    ],
}


def moved(offset: int) -> dict[str, str]:
    """Sums and products of the same numbers, in a contiguous view that begins `offset` floats into its memory."""
    a, b = numbers(37, 96), numbers(96, 256)
    views = []
    for tensor in (a, b):
        memory = torch.empty(tensor.numel() + offset)
        memory[offset:] = tensor.flatten()
        views.append(memory[offset:].view_as(tensor))
    one, other = views
    fast = linear(96)
    with torch.no_grad():
        return {
            "sum": hashed([one.sum(), other.sum(0), other.sum(1)]),
            "exp": hashed([one.exp()]),
            "softmax": hashed([one.softmax(-1)]),
            "product (MKL)": hashed([one @ other]),
            "linear (oneDNN)": hashed([fast(torch.cat([one] * 3))]),
            "numpy product (OpenBLAS)": hashed([one.numpy() @ other.numpy()]),
            "numpy.exp": hashed([np.exp(one.numpy())]),
        }


def placed() -> dict[str, str]:
    """For each operation, the offsets in floats at which its bytes are other than at 0; "" where there are none."""
    first = moved(0)
    others = {offset: moved(offset) for offset in (1, 2, 4, 8)}
    return {
        f"offset: {name}": " ".join(str(offset) for offset, found in others.items() if found[name] != digest)
        for name, digest in first.items()
    }


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    found = {name: hashed(work()) for name, work in OPERATIONS.items()} | placed()
    for model in MODELS:
        found |= steps(model)
    json.dump(found, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
