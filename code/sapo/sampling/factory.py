"""Settings and a saved reasoner's folder → the `Sampler` over it that the settings name.

With `engine.actors` each of Ray's actors opens an engine of its own; without, the engine is opened here. Engines are
imported when they are opened: most of them need libraries that others do not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from sapo.models.hardware import for_inference
from sapo.models.loading import load_reasoner
from sapo.sampling.hf_engine import LocalSampler
from sapo.sampling.protocol import Sampler
from sapo.sampling.token_requests import EngineError
from sapo.settings import EngineSettings, TuningSettings


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw: the engine, where models compute, and the embedded sampler's rows and cache (see `LocalSampler`)."""

    engine: EngineSettings
    tuning: TuningSettings
    rows: int
    cached_tokens: int = 0


def open_sampler(reasoner: Path, drawing: Drawing, answers: Path, what: str = "") -> Sampler:
    """A sampler over the model in `reasoner`.

    Args:
        answers: folder where a server's answers are kept.
        what: names the work in the progress line; silent when empty.

    Raises:
        EngineError: the engine is not installed. EndpointError: its URL or key cannot be used. LoadingError: the
            reasoner cannot be read. NoDevice: it has no GPU.
    """
    if not drawing.engine.actors:
        return opener(reasoner, drawing, answers, what)()
    installed("ray", "ray")
    from sapo.sampling.ray_engine import RaySampler

    open_engine = partial(opener, reasoner.resolve(), drawing, answers.resolve())
    return RaySampler(open_engine, drawing.engine, drawing.tuning.device == "cuda", what)


def opener(reasoner: Path, drawing: Drawing, answers: Path, what: str = "") -> Callable[[], Sampler]:
    """Loads the reasoner once; every call gives a sampler that remembers nothing of what others drew."""
    if drawing.engine.kind == "server":
        from sapo.sampling.http.server_engine import ServerSampler

        return lambda: ServerSampler(reasoner, drawing.engine, answers, what)
    if drawing.engine.kind == "vllm":
        installed("vllm", "vllm")
        from sapo.sampling.vllm_engine import VllmSampler

        sampler = VllmSampler(reasoner, drawing.engine.memory, drawing.tuning.dtype, what)
        return lambda: sampler
    model, encoder = load_reasoner(reasoner)
    for_inference(model, drawing.tuning)
    return lambda: LocalSampler(model, encoder, drawing.rows, what, drawing.cached_tokens)


def engine_name(settings: EngineSettings) -> str:
    """What completions depend on besides model and request, and a result's `made_from.json` records.

    Where an engine runs is none of it: not its actors, URL or concurrency. Raises EngineError: it is not installed.
    """
    if settings.kind == "vllm":
        return f"vllm {installed('vllm', 'vllm')}"
    return f"server, {settings.dialect}" if settings.kind == "server" else settings.kind


def installed(name: str, extra: str) -> str:
    """The version of an optional library. Raises EngineError, with the command that installs it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise EngineError(f'engine: {name} is not installed: pip install -e ".[{extra}]"') from None
