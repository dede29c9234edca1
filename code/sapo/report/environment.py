"""On what machine and with which libraries a report was made, for `results/environment.json`.

A second run on the same machine writes the same bytes.
"""

import os
import platform
from pathlib import Path

from sapo.workspace import environment

CPU_INFO = Path("/proc/cpuinfo")


def here() -> dict[str, dict[str, object]]:
    """Processor, cores, system and Python of this machine, and the versions of the libraries that results rest on."""
    known = environment()
    machine = {"cpu": processor(), "cores": os.cpu_count(), "platform": known["platform"], "python": known["python"]}
    versions = known["versions"]
    assert isinstance(versions, dict)
    return {"machine": machine, "versions": versions}


def processor() -> str:
    """Name of the processor, as the system tells it."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
