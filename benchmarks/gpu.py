"""What a device makes of a run: tokens a second, share of the device's peak, peak memory, and the plan's forecast.

Makes a profile's first model and one round of SAPO on its first task through the run's own code, in a folder that is
deleted: base model, SFT, samples, labels, verifier V_0, then the round's labels, verifier, scores and ORPO. Seconds
hold the loading of models. Prints lines of a Markdown table for benchmarks/gpu.md, which says what has been measured.
Run alone, from the repository's root: python benchmarks/gpu.py [--gpu h100] profile=gsm8k_100m [key=value …]
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sapo.plan.architecture import config_of, parameters
from sapo.plan.devices import DEVICES, Part, device_of, seconds
from sapo.plan.dry_run import peak_memory, reset_peak
from sapo.plan.memory import GIB
from sapo.plan.methods import Place, method_parts, start_parts
from sapo.plan.texts import texts_of
from sapo.recipes.bootstrap import begin, fine_tuned, samples_of, start_inputs
from sapo.recipes.experiment import Experiment, copy_output, read_costs
from sapo.recipes.inputs import Folder
from sapo.recipes.sample_step import sampled
from sapo.recipes.self_improvement import State, round_inputs, run_round
from sapo.records import BadInput, Cost
from sapo.runtime.workspace import StageArguments, Workspace
from sapo.settings import Settings, method_settings
from sapo.settings.configure import compose
from sapo.stages import base

HEADER = ("Phase", "Tokens", "Seconds", "Tokens/s", "Of the peak", "Plan's FLOPs", "Plan's seconds", "Peak GiB")


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase's cost, and the peak in bytes of the call that it was part of."""

    stage: str
    what: str
    cost: Cost
    peak: int

    @property
    def tokens(self) -> int:
        """Trained where it trains, drawn where it draws, else read."""
        return self.cost.trained_tokens or self.cost.generated_tokens or self.cost.prompt_tokens


def measure(settings: Settings, root: Path) -> list[Phase]:
    """All phases of the first model and task, in order; `root` is an empty folder."""
    place = StageArguments(next(iter(settings.models)), next(iter(settings.tasks)))
    (root / "data").symlink_to(Path("assets").resolve())
    experiment = Experiment(
        method_settings(settings, "sapo", settings.seed), Workspace(root, settings.profile), *_names(place)
    )
    device, phases = settings.tuning.device, []

    def run(stage: str, call: Callable[[], Path]) -> Path:
        reset_peak(device)
        made = call()
        known = {(phase.stage, phase.what) for phase in phases}
        costs = {what: cost for what, cost in read_costs(made).items() if (stage, what) not in known}
        phases.extend(Phase(stage, what, cost, peak_memory(device)) for what, cost in costs.items())
        return made

    began = time.perf_counter()
    base.run(settings, experiment.workspace, place)
    phases.append(Phase("base", "model", Cost(seconds=time.perf_counter() - began), peak_memory(device)))
    given, tools = start_inputs(experiment), experiment.tools
    tuned = run("start", lambda: fine_tuned(given.sft, tools))
    run("start", lambda: sampled(samples_of(given, Folder.of(tuned / "sft")), tools))
    copy_output(run("start", lambda: begin(given, tools)), experiment.start)
    first = State(experiment.start / "sft", experiment.start / "verifier", ())
    run("methods", lambda: run_round(round_inputs(experiment, 1, first), tools))
    return [phase for phase in phases if (phase.stage, phase.what) != ("methods", "sampling")]  # those of the start


def _names(place: StageArguments) -> tuple[str, str]:
    return place.model, place.task


def forecasts(settings: Settings) -> dict[tuple[str, str], Part]:
    """Parts of the plan for what `measure` does."""
    name, task = next(iter(settings.models)), next(iter(settings.tasks))
    config = config_of(name, settings.models[name], settings.scratch, Path())
    place = Place(method_settings(settings, "sapo", settings.seed), name, task, config, texts_of(task))
    parts = [*start_parts(place), *method_parts(place)]
    return {(part.stage, part.what): part for part in reversed(parts)}  # of several rounds the first


def lines(settings: Settings, gpu: str, phases: list[Phase]) -> list[str]:
    """A Markdown table. The plan's FLOPs and seconds are divided by the measured ones: above 1 it asks for too much."""
    name, device = next(iter(settings.models)), device_of(gpu)
    config = config_of(name, settings.models[name], settings.scratch, Path())
    weights, planned = parameters(config), forecasts(settings)
    rows = [HEADER, ("---", *["---:"] * (len(HEADER) - 1))]
    for phase in phases:
        cost, part = phase.cost, planned.get((phase.stage, phase.what))
        took = max(cost.seconds, 1e-3)
        ratios = ("–", "–")
        if part and cost.flops:
            forecast = seconds(part, settings, config, weights, device)
            ratios = (f"{part.bill.flops / cost.flops:.2f}", f"{forecast / took:.2f}")
        speed = f"{phase.tokens / took:,.0f}" if phase.tokens else "–"
        share = f"{cost.flops / took / device.peak:.1%}" if cost.flops else "–"
        cells = (f"{phase.tokens:,}", f"{took:,.1f}", speed, share, *ratios, f"{phase.peak / GIB:,.2f}")
        rows.append((f"{phase.stage}: {phase.what}", *cells))
    here = torch.cuda.get_device_name() if settings.tuning.device == "cuda" else platform.processor() or "CPU"
    head = (
        f"{settings.profile}: {name}, {weights:,} weights, {settings.tuning.kind} in {settings.tuning.dtype} on {here} "
        f"({settings.threads} threads), PyTorch {torch.__version__}, forecast for {gpu}"
    )
    return [head, "", *(f"| {' | '.join(row)} |" for row in rows)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", choices=DEVICES, default="cpu", help="whose forecast to compare with (cpu)")
    parser.add_argument("settings", nargs="+", metavar="key=value", help="as of `python -m sapo configure`")
    given = parser.parse_args()
    try:
        settings = compose(Path(), given.settings)[1]
        if (given.gpu == "cpu") != (settings.tuning.device == "cpu"):
            raise SystemExit(
                f"--gpu is {given.gpu}, tuning.device is {settings.tuning.device}: name the device in both"
            )
        torch.set_num_threads(settings.threads)
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.writelines(f"{line}\n" for line in lines(settings, given.gpu, measure(settings, Path(folder))))
    except BadInput as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
