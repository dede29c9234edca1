"""Pinned arithmetic: set before the libraries load, and, nightly, the same bytes on processors that QEMU emulates."""

import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from sapo.records import write_text
from sapo.report.environment import EVERYWHERE, NOWHERE, THIS_PROCESSOR, builds, here, same_bytes_on
from sapo.runtime.arithmetic import LEVEL, PINS, apply, chosen, level, processor_level
from sapo.runtime.cache import cached

ROOT = Path(__file__).parents[2]
STEPS = ROOT / "benchmarks" / "arithmetic_steps.py"
UNPINNED = "unpinned: "
has_avx2 = pytest.mark.skipif(processor_level() not in ("x86-64-v3", "x86-64-v4"), reason="no AVX2")


def said(code: str, **variables: str) -> str:
    """What Python code writes in a process without pins but those of `variables`."""
    environment = {name: value for name, value in os.environ.items() if name not in PINS} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("arithmetic: native\n", "native"),
        ("profile: nano\narithmetic: 'native'\nseed: 1\n", "native"),
        ("arithmetic: pinned\n", "pinned"),
        ("tuning:\n  arithmetic: native\n", "pinned"),
        ("", "pinned"),
    ],
)
def test_the_setting_is_read_from_its_line(tmp_path: Path, text: str, found: str) -> None:
    write_text(tmp_path / "params.yaml", text)
    assert chosen(tmp_path / "params.yaml") == found
    assert chosen(tmp_path / "none.yaml") == "pinned"


def test_the_command_imports_no_library_before_it_pins() -> None:
    code = "import sys, sapo.__main__; print([name for name in ('numpy', 'torch') if name in sys.modules])"
    assert said(code) == "[]\n"


@has_avx2
def test_the_command_pins_whatever_the_shell_says_and_pytorch_obeys() -> None:
    code = """
import contextlib, sapo.__main__
with contextlib.suppress(SystemExit):
    sapo.__main__.main(["no such command"])
import numpy, torch
from sapo.runtime.arithmetic import level
print(level(), torch.backends.cpu.get_cpu_capability(), numpy.show_config(mode="dicts")["SIMD Extensions"]["found"])
"""
    assert said(code, MKL_CBWR="AUTO") == "x86-64-v3 AVX2 ['X86_V3']\n"


def test_native_removes_the_pins_and_neither_comes_too_late() -> None:
    code = """
from sapo.runtime.arithmetic import apply, level
apply("native")
print(level())
import torch
apply("native")
try:
    apply("pinned")
except RuntimeError as error:
    print(error)
"""
    first, *rest = said(code, **PINS).splitlines()
    assert first == f"native {processor_level()}"
    too_late = "arithmetic: pinned cannot be had any more: numpy and torch is loaded"
    assert rest == ([too_late] if processor_level() != os.uname().machine else [])


@has_avx2
def test_the_level_is_in_every_key_of_kept_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves are pinned (conftest.py); one pin less is another key."""
    apply("pinned")
    assert level() == LEVEL
    folders = [cached(tmp_path, {"a": 1}, lambda folder: write_text(folder / "made", "1"))]
    assert json.loads((folders[0] / "made_from.json").read_text(encoding="utf-8"))["content"]["arithmetic"] == LEVEL
    monkeypatch.delenv("MKL_CBWR")
    assert level() == f"native {processor_level()}"
    folders.append(cached(tmp_path, {"a": 1}, lambda folder: write_text(folder / "made", "1")))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    folders.append(cached(tmp_path, {"a": 1}, lambda folder: write_text(folder / "made", "1")))
    assert len({*folders}) == 3


def test_bytes_are_promised_to_pinned_runs_of_the_embedded_sampler_on_cpu() -> None:
    assert same_bytes_on(LEVEL, "cpu", "hf") == EVERYWHERE
    assert (
        same_bytes_on("native x86-64-v4", "cpu", "hf") == same_bytes_on("native aarch64", "cpu", "hf") == THIS_PROCESSOR
    )
    assert same_bytes_on(LEVEL, "cuda", "hf") == same_bytes_on(LEVEL, "cpu", "vllm") == NOWHERE


@has_avx2
def test_the_environment_names_arithmetic_and_builds() -> None:
    arithmetic = here("cpu", "hf")["arithmetic"]
    assert arithmetic["level"] == LEVEL and arithmetic["pytorch"] == "AVX2" and arithmetic["pins"] == PINS
    found = builds()
    assert str(found["onednn"]).startswith("v") and "Build" in str(found["mkl"]) and "blas" in str(found["numpy_blas"])


@lru_cache
def digests(pinned: bool, threads: int = 1, emulated: str = "") -> dict[str, str]:
    """Of `arithmetic_steps.py`, on this processor or an emulated one."""
    environment = {name: value for name, value in os.environ.items() if name not in PINS}
    environment |= PINS if pinned else {}
    command = ["qemu-x86_64", "-cpu", emulated] if emulated else []
    command += [sys.executable, str(STEPS), str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if one[name] != other[name] and not name.startswith(UNPINNED)]


@pytest.mark.nightly
@has_avx2
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 (Debian: qemu-user 7.2 or later)")
@pytest.mark.parametrize(("processor", "threads"), [("Haswell-noTSX", 1), ("EPYC", 1), ("Haswell-noTSX", 2)])
def test_pinned_bytes_are_those_of_an_emulated_processor(processor: str, threads: int) -> None:
    """An Intel and an AMD processor with AVX2 and without AVX-512: training, drawn texts, scores, operations."""
    assert differing(digests(True, threads), digests(True, threads, processor)) == []


@pytest.mark.nightly
@pytest.mark.skipif(processor_level() != "x86-64-v4", reason="no AVX-512: pinned is nearly what is native here")
def test_native_bytes_are_others_where_there_is_avx512() -> None:
    changed = differing(digests(True), digests(False))
    assert {"softmax", "product (MKL)", "qwen2_nano: orpo", "qwen2_nano: verifier", "qwen2_nano: sft"} <= {*changed}


@pytest.mark.nightly
@has_avx2
def test_where_in_memory_the_numbers_lie_does_not_matter() -> None:
    offsets = {name: found for name, found in digests(True).items() if name.startswith("offset: ")}
    assert len(offsets) >= 7 and {*offsets.values()} == {""}
