"""Which kernels PyTorch, MKL, oneDNN, OpenBLAS and NumPy may use on the CPU, decided before any of them is loaded.

Each of these libraries chooses kernels by the processor it finds, and kernels of different width round differently.
`pinned` holds all of them to x86-64-v3 (AVX2 and FMA), so that every processor that has it computes the same bytes;
`native` lets them choose. The choice travels in environment variables, which child processes inherit.
docs/reproducibility.md says what each variable changes. This module imports the standard library alone.
"""

import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

Arithmetic = Literal["pinned", "native"]

LEVEL = "x86-64-v3"
# MKL's AVX2 mode is for Intel's processors alone; COMPATIBLE is the one mode that is equal on AMD's.
PINS: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
CPU_INFO = Path("/proc/cpuinfo")
LIBRARIES = ("numpy", "torch")  # which read the variables as they are loaded or first used
# What a processor has to have for a level, as Linux calls it; the highest first.
FLAGS = {"x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}, LEVEL: {"avx2", "fma"}}


def chosen(params: Path) -> Arithmetic:
    """The top-level setting `arithmetic` of a params.yaml; `pinned` where there is none.

    Only that line is read: it is needed before the settings as a whole are, which also refuse any other value.
    """
    text = params.read_text(encoding="utf-8", errors="replace") if params.is_file() else ""
    return "native" if re.search(r"^arithmetic:\s*['\"]?native\b", text, re.MULTILINE) else "pinned"


def apply(arithmetic: Arithmetic) -> None:
    """Set or remove the variables of `PINS` for this process and those that it will start.

    On processors without AVX2 and FMA nothing can be pinned, and the libraries choose.

    Raises:
        RuntimeError: a library that reads them has already been loaded under other ones.
    """
    wanted = PINS if arithmetic == "pinned" and processor_level() in FLAGS else {}
    if {name: os.environ[name] for name in PINS if name in os.environ} == wanted:
        return
    if loaded := [name for name in LIBRARIES if name in sys.modules]:
        raise RuntimeError(f"arithmetic: {arithmetic} cannot be had any more: {' and '.join(loaded)} is loaded")
    for name in PINS:
        os.environ.pop(name, None)
    os.environ.update(wanted)


def level() -> str:
    """What the variables of this process hold the libraries to, e.g. `x86-64-v3`, or `native x86-64-v4`."""
    pinned = all(os.environ.get(name) == value for name, value in PINS.items())
    return LEVEL if pinned else f"native {processor_level()}"


@lru_cache(maxsize=1)
def processor_level() -> str:
    """The highest level of `FLAGS` that this processor has, else the name of its architecture."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    flags = {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
    return next((name for name, needed in FLAGS.items() if needed <= flags), platform.machine())
