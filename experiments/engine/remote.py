"""What a worker does, wherever it runs: it computes a chunk and stores it, and returns nothing.

What goes wrong besides the runs is raised, because Dask brings errors home at once, while a result
waits at the worker, and is lost where that dies.
"""

import os
import pickle
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.engine.execution import compute_chunk
from experiments.engine.plan import Chunk
from experiments.engine.store import open_store

SETTINGS_OF_JAX = ("JAX_", "XLA_")


def packed(chunk: Chunk, folder: Path) -> bytes:
    """A chunk and the folder of its store, to be sent to a worker."""
    return pickle.dumps((chunk, str(folder.absolute())))


def run(content: bytes) -> None:
    """Compute a packed chunk in this process; errors of its runs are stored, not raised."""
    chunk, folder = pickle.loads(content)
    compute_chunk(chunk, open_store(folder))


def compute_like_here(gpus: Sequence[str] = ()) -> Callable[[bytes], None]:
    """A function that computes packed chunks in another process as this one would.

    It takes this process's folder, search path and settings of JAX with it. Dask sends it by value,
    because it is no function of a module: a worker may know nothing of this project before.

    Args:
      gpus: what one worker each gets to see, by the worker's number; all see all by default.

    Returns:
      The function. It raises `ConnectionError` where a worker does not see what this process sees.
    """
    here = str(Path.cwd())
    paths = _search_path()
    settings = {n: value for n, value in os.environ.items() if n.startswith(SETTINGS_OF_JAX)}
    gpus = tuple(gpus)

    def compute(content: bytes) -> None:
        import os
        import socket
        import sys

        os.environ.update(settings)
        if gpus:
            from distributed import get_worker

            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(get_worker().name) % len(gpus)]
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
        try:
            os.chdir(here)
            from experiments.engine import remote
        except (OSError, ImportError) as error:
            where = f"a worker on {socket.gethostname()} cannot work in {here}"
            raise ConnectionError(f"{where}: {error}") from error
        remote.run(content)

    return compute


def _search_path() -> tuple[str, ...]:
    """Where this process looks for modules that are not installed, in its order."""
    root = str(Path(__file__).resolve().parents[2])
    places = sysconfig.get_paths()
    installed = {places["purelib"], places["platlib"]}
    python = (places["stdlib"], places["platstdlib"])
    searched = [str(Path(entry).absolute()) for entry in sys.path]
    own = [p for p in searched if p not in installed and not p.startswith(python)]
    own = [path for path in own if not path.endswith(".zip")]
    return tuple(dict.fromkeys([*own, root]))
