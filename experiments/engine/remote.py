"""What a worker does, wherever it runs: it computes a chunk, stores it, and says how it went."""

import os
import pickle
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.common.errors import UserError
from experiments.engine.execution import CodeChangedError, compute_chunk
from experiments.engine.plan import Chunk
from experiments.engine.store import StorageError, open_store

DONE, ELSEWHERE, NO_ROOM, NO_WAY = "done", "elsewhere", "no room", "no way"
SETTINGS_OF_JAX = ("JAX_", "XLA_")

Answer = tuple[str, str]  # one of the four words above, and what went wrong


def packed(chunk: Chunk, folder: Path) -> bytes:
    """A chunk and the folder of its store, to be sent to a worker."""
    return pickle.dumps((chunk, str(folder.absolute())))


def run(content: bytes) -> Answer:
    """Compute a packed chunk in this process; errors of its runs are stored, not raised."""
    chunk, folder = pickle.loads(content)
    try:
        report = compute_chunk(chunk, open_store(folder))
    except StorageError as error:
        return NO_ROOM, str(error)
    except (CodeChangedError, UserError) as error:
        return NO_WAY, str(error)
    return (DONE if report.is_done else ELSEWHERE), ""


def compute_like_here(gpus: Sequence[str] = ()) -> Callable[[bytes], Answer]:
    """A function that computes packed chunks in another process as this one would.

    It takes this process's folder, search path and settings of JAX with it. Dask sends it by value,
    because it is no function of a module: a worker may know nothing of this project before.

    Args:
      gpus: what one worker each gets to see, by the worker's number; all see all by default.
    """
    here = str(Path.cwd())
    paths = _search_path()
    settings = {n: value for n, value in os.environ.items() if n.startswith(SETTINGS_OF_JAX)}
    gpus = tuple(gpus)

    def compute(content: bytes) -> tuple[str, str]:
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
            return "no way", f"a worker on {socket.gethostname()} cannot work in {here}: {error}"
        return remote.run(content)

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
