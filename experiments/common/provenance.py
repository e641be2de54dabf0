"""Where a result comes from: commit, versions and device, without any name of user or machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("maxpo_jax", "experiments", "configs")
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "optax", "xarray", "h5netcdf", "h5py", "matplotlib")


def git_state() -> dict[str, Any]:
    """Commit of the code and whether the code differs from it; "unknown" outside of git."""
    top = _git("rev-parse", "--show-toplevel")
    commit = _git("rev-parse", "HEAD")
    if commit is None or top is None or Path(top).resolve() != PROJECT_ROOT:
        return {"commit": "unknown", "dirty": "unknown"}
    changes = _git("status", "--porcelain", "--", *CODE_FOLDERS)
    return {"commit": commit, "dirty": bool(changes)}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make numbers, files and figures."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def device() -> dict[str, Any]:
    """The devices that JAX computes on, and the processor of the host."""
    import jax  # slow to import, and this module is asked for more

    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
