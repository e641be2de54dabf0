"""The Slurm launcher: each share is a task of a job array, submitted by `submitit`.

The store is the truth. Whether tasks are still under way is asked of `squeue`, for without an
accounting database a killed task looks to `submitit` as if it ran for ever.
"""

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.code_hash import PROJECT_ROOT
from experiments.common.errors import UserError
from experiments.sweeps.driver import Ending
from experiments.sweeps.store import Store
from experiments.sweeps.worker import Task, task_from_json, work

SECONDS_BETWEEN_LOOKS = 1.0
DEFAULT_NUM_WORKERS = 16
MIN_MINUTES = 60  # below, submitit takes every preemption for a time limit
GONE = "Invalid job id"
FINAL_ERRORS = ("StorageError", "CodeChangedError")


class SlurmWork:
    """The work of one task; when Slurm preempts or requeues it, the same work goes on."""

    def __call__(self, task: str) -> None:
        """Do the task."""
        work(task_from_json(task))

    def checkpoint(self, task: str) -> Any:
        """What to submit in place of this task: itself, since finished runs are skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task)


@dataclasses.dataclass(frozen=True)
class SlurmLauncher:
    """Launches tasks on a Slurm cluster.

    Attributes:
      folder: folder of scripts and logs, which every node sees.
      minutes: time limit of a task.
      options: further options of `sbatch`, such as {"partition": "gpu", "gres": "gpu:1"}.
    """

    folder: Path
    minutes: int
    options: dict[str, str]

    def __call__(self, tasks: Sequence[Task], watch: Callable[[], None]) -> list[Ending]:
        """Submit the tasks as one job array, and return when none is queued or running."""
        jobs = self._submit([task.to_json() for task in tasks])
        array = jobs[0].job_id.partition("_")[0]
        store = Store(Path(tasks[0].store))
        try:
            while _is_queued(array) and any(_pending(store, task) for task in tasks):
                time.sleep(SECONDS_BETWEEN_LOOKS)
                watch()
            endings = zip(jobs, tasks, strict=True)
            return [_ending(job, _pending(store, task), self.folder) for job, task in endings]
        except KeyboardInterrupt:
            subprocess.run(["scancel", array], check=False)
            raise
        finally:
            store.close()

    def _submit(self, texts: Sequence[str]) -> list[Any]:
        import submitit

        executor = submitit.SlurmExecutor(folder=self.folder)
        path = os.pathsep.join([str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        executor.update_parameters(
            job_name="sweep",
            time=self.minutes,
            ntasks_per_node=1,
            setup=[f"export PYTHONPATH='{path}'"],
            stderr_to_stdout=True,
            array_parallelism=len(texts),
            additional_parameters=self.options,
        )
        try:
            return executor.map_array(SlurmWork(), texts)
        except submitit.core.utils.FailedJobError as error:
            raise UserError(f"Slurm refuses the jobs: {' '.join(str(error).split())}") from error


def make_launcher(folder: Path, minutes: int, options: Sequence[str]) -> SlurmLauncher:
    """The launcher that flags describe.

    Args:
      folder: folder of scripts and logs.
      minutes: time limit of a task.
      options: texts "name=value", options of `sbatch`.

    Raises:
      UserError: if `submitit` or Slurm is missing, or a value makes no sense.
    """
    try:
        import submitit  # noqa: F401 - asked before anything is planned on it
    except ImportError as error:
        raise UserError(
            '--launcher=slurm needs submitit: pip install "maxpo_jax[slurm]"'
        ) from error
    if minutes < MIN_MINUTES:
        raise UserError(f"--minutes is {minutes}; it must be {MIN_MINUTES} or more")
    pairs = [option.partition("=") for option in options]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise UserError(f"--slurm={name} is not understood: write --slurm=option=value")
    try:
        subprocess.run(["sinfo"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            "--launcher=slurm finds no Slurm here (sinfo fails); run it on a login node"
        ) from error
    return SlurmLauncher(folder, minutes, {name: value for name, _, value in pairs})


def _pending(store: Store, task: Task) -> list[str]:
    return store.pending(run.key for run in task.runs)


def _is_queued(array: str) -> bool:
    """Whether a task of the array waits or runs; a controller that does not answer says nothing."""
    answer = subprocess.run(
        ["squeue", "--noheader", f"--jobs={array}", "--format=%i %T"],
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(answer.stdout.strip()) if answer.returncode == 0 else GONE not in answer.stderr


def _ending(job: Any, pending: Sequence[str], folder: Path) -> Ending:
    if not pending:
        return Ending()
    if not job.paths.result_pickle.exists():
        return Ending(f"a Slurm task was killed; its log is {folder}/{job.job_id}_0_log.out")
    error = job.exception()
    if error is None:
        return Ending()  # other processes have the runs that it left
    last_line = str(error).strip().splitlines()[-1]
    is_final = any(name in str(error) for name in FINAL_ERRORS)
    return Ending(f"a Slurm task raised {last_line}", is_final)
