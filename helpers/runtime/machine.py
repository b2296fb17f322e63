"""The machine of a run: versions, device, commit. Nothing here imports TensorFlow."""

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil

import helpers
from helpers.runtime.errors import DataError

# import name: the distributions that may provide it
PACKAGES = {
    "numpy": ("numpy",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
}


def versions() -> dict[str, str | None]:
    """Versions of Python, of the packages that results depend on, and of the course; None where not installed."""
    found = {name: _version(names) for name, names in PACKAGES.items()}
    return {"python": platform.python_version(), **found, "helpers": helpers.__version__}


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs of this machine."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.split("\n")[:-1] if result.returncode == 0 else []


def device() -> str:
    """A description of the GPUs, or of the CPU and its number of cores where there is no GPU."""
    found = gpus()
    if found:
        return " + ".join(found)
    return f"{_cpu()}, {os.cpu_count()} cores, no GPU"


def cores() -> list[int]:
    """Numbers of the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def free_memory() -> int:
    """Bytes of memory that programs may still take: of the machine, or of the container where that has a limit."""
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError, KeyError):  # no such file, or a limit of "max"
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        entries = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(entries["inactive_file"]))  # files that were read go when memory is wanted
    return free


def parse_devices(devices: str) -> tuple[str | None, int | None]:
    """Parse the option `--devices`.

    Args:
        devices: "auto", a number such as "2", "cpu", or "cpu:2" for two devices made of a CPU.

    Returns:
        The kind of device ("cpu", or None for any) and their number (None for all).

    Raises:
        DataError: `devices` is none of these.
    """
    kind, _, number = devices.partition(":")
    if devices == "auto":
        return None, None
    if devices == "cpu":
        return "cpu", 1
    if not number and kind.isdecimal():
        kind, number = "", kind
    if kind not in ("", "cpu") or not number.isdecimal() or int(number) < 1:
        raise DataError(f"devices {devices!r}; expected auto, a number, cpu, or cpu:2 for two devices made of a CPU.")
    return kind or None, int(number)


def commit(folder: Path) -> str | None:
    """The git commit that is checked out in `folder`; None where git or the repository is missing.

    Args:
        folder: of a working tree.
    """
    if not shutil.which("git"):
        return None
    result = subprocess.run(
        ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, errors="replace", check=False
    )
    return result.stdout.strip() if result.returncode == 0 else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
