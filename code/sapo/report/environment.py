"""The machine, library builds and arithmetic that a report was made with, for `results/environment.json`.

A second run on the same machine writes the same bytes. The file is no output of DVC's, because it names the machine.
"""

import os
import platform
import re
from typing import Any

from sapo.runtime.arithmetic import CPU_INFO, LEVEL, PINS, level
from sapo.runtime.workspace import environment

# Where another run of the same commit gives the same bytes (docs/reproducibility.md).
EVERYWHERE = "every x86-64 processor with AVX2 and FMA"
THIS_PROCESSOR = "this kind of processor"
NOWHERE = "none"


def here(device: str, engine: str) -> dict[str, dict[str, object]]:
    """Sections `machine`, `versions`, `builds` and `arithmetic`.

    Args:
        device: `tuning.device` of the run.
        engine: `engine.kind` of the run.
    """
    import torch  # seconds, owed only by what asks

    known = environment()
    machine = {"cpu": processor(), "cores": os.cpu_count(), "platform": known["platform"], "python": known["python"]}
    versions = known["versions"]
    assert isinstance(versions, dict)
    arithmetic = {
        "level": level(),
        "pytorch": torch.backends.cpu.get_cpu_capability(),
        "pins": {name: os.environ[name] for name in PINS if name in os.environ},
        "threads": torch.get_num_threads(),
        "device": device,
        "engine": engine,
        "same_bytes_on": same_bytes_on(level(), device, engine),
    }
    return {"machine": machine, "versions": versions, "builds": builds(), "arithmetic": arithmetic}


def same_bytes_on(arithmetic_level: str, device: str, engine: str) -> str:
    """Which machines give the same bytes: GPU kernels and other engines than the embedded one promise none."""
    if device != "cpu" or engine != "hf":
        return NOWHERE
    return EVERYWHERE if arithmetic_level == LEVEL else THIS_PROCESSOR


def builds() -> dict[str, object]:
    """Builds of the libraries inside PyTorch's and NumPy's packages, and of these."""
    import numpy as np
    import torch

    shown = torch.__config__.show()
    patterns = {"mkl": r"Math Kernel Library Version (\S+ Build \d+)", "onednn": r"MKL-DNN (v\S+ \(Git Hash \w+)"}
    found: dict[str, object] = {name: _first(pattern, shown) for name, pattern in patterns.items()}
    config: Any = np.show_config(mode="dicts")
    blas, simd = config["Build Dependencies"]["blas"], config["SIMD Extensions"]
    return found | {
        "pytorch": torch.__version__,
        "pytorch_commit": torch.version.git_version,
        "numpy_blas": f"{blas['name']} {blas['version']}",
        "numpy_simd": [*simd["baseline"], *simd.get("found", [])],
    }


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].replace(" (Git Hash", "") if match else "not built in"


def processor() -> str:
    """Name of the processor, as the system tells it."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
