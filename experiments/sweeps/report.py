"""What a sweep leaves for people: dataset, tables, figure, page and manifest."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import run_directory
from experiments.common import provenance, style
from experiments.common.atomic_file import atomic_write
from experiments.sweeps import merge, page, picture
from experiments.sweeps.driver import Outcome
from experiments.sweeps.plan import Plan
from experiments.sweeps.store import Store
from experiments.sweeps.sweepable import Sweepable

DATA = "sweep.nc"
MANIFEST = "manifest.json"


def write(
    out_dir: Path,
    plan: Plan,
    sweepable: Sweepable,
    base: ConfigDict,
    store: Store,
    metric: str,
    outcome: Outcome,
    command: str,
) -> None:
    """Write `sweep.nc`, `runs.csv`, `curves.csv`, `sweep.png`, `sweep.html`, `manifest.json`.

    Each file is replaced whole; the manifest comes last and has the SHA-256 of the others.
    """
    dataset = merge.merge(plan, sweepable, base, store)
    manifest = _manifest(plan, store, outcome, command)
    files = {DATA: run_directory.dataset_to_bytes(dataset)}
    files["runs.csv"] = merge.runs_table(dataset, sweepable.metrics)
    curves = merge.curves_table(dataset, sweepable.metrics)
    if curves is not None:
        files["curves.csv"] = curves
    with style.paper():
        figure = picture.draw(dataset, metric, sweepable.metrics[metric])
        files["sweep.png"] = style.png_bytes(figure)
    files["sweep.html"] = page.render(dataset, sweepable.metrics, metric, manifest).encode()
    for name, content in files.items():
        atomic_write(out_dir / name, content)
    manifest["sha256"] = {name: run_directory.sha256(data) for name, data in files.items()}
    atomic_write(out_dir / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def _manifest(plan: Plan, store: Store, outcome: Outcome, command: str) -> dict[str, Any]:
    failures = {run.key: store.failure(run.key) or {} for run in outcome.failed}
    return {
        "experiment": plan.experiment,
        "command": command,
        "code_hash": plan.code,
        "git": provenance.git_state(),
        "versions": provenance.versions(),
        "runs": {
            "total": len(plan.runs),
            "finished": len(outcome.finished),
            "failed": len(outcome.failed),
            "remaining": len(outcome.remaining),
        },
        "programs": len(plan.chunk_sizes),
        "failures": [
            {"setting": run.setting, "error": failures[run.key].get("error")}
            for run in outcome.failed
        ],
    }
