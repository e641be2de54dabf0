"""What a sweep would do: its programs and chunks, and how long it would take."""

import math

from experiments.engine import execution
from experiments.engine.plan import Chunk, Plan, in_words
from experiments.engine.store import Store

MAX_PROGRAMS_SHOWN = 20


def describe_plan(plan: Plan, store: Store) -> str:
    """The programs of a plan, what of them is stored, and the time that is left, as text.

    It computes the first chunk, where none is stored, so that the time can be told.
    """
    waiting = _waiting(plan, store)
    if waiting and len(waiting) == len(plan.chunks):
        execution.compute_chunk(waiting[0], store)
        waiting = _waiting(plan, store)
    stored = len(execution.outcome(plan, store).finished)
    lines = [f"{stored} of {len(plan.runs)} runs are stored"]
    programs: dict[str, list[Chunk]] = {}
    for chunk in plan.chunks:
        programs.setdefault(chunk.program, []).append(chunk)
    for number, (program, chunks) in enumerate(programs.items(), start=1):
        if number > MAX_PROGRAMS_SHOWN:
            lines.append(f"  ... and {len(programs) - MAX_PROGRAMS_SHOWN} more programs")
            break
        left = sum(1 for chunk in waiting if chunk.program == program)
        lines.append(f"program {number}: {len(chunks)} chunks, {left} to compute: {_what(chunks)}")
    return "\n".join([*lines, _estimate(plan, store, waiting)])


def _waiting(plan: Plan, store: Store) -> list[Chunk]:
    return [chunk for chunk in plan.chunks if execution.missing_points(chunk, store)]


def _what(chunks: list[Chunk]) -> str:
    first = chunks[0]
    shared = {
        name: value
        for name, value in first.fields.items()
        if all(chunk.fields[name] == value for chunk in chunks)
    }
    points = f", {len(first.points)} points together" if len(first.points) > 1 else ""
    return f"{len(first.seeds)} seeds each{points}, {in_words(shared)}"


def _estimate(plan: Plan, store: Store, waiting: list[Chunk]) -> str:
    """The time that is left, from the first stored chunk of the plan."""
    if not waiting:
        return "estimated time: none, every run is stored"
    groups = (store.load(plan.name, chunk.group) for chunk in plan.chunks)
    measured = next((part.about for group in groups for part in group.parts), None)
    if measured is None:
        return "estimated time: unknown, no run could be computed"
    compiling = measured["compile_seconds"]
    running = max(measured["seconds"] - compiling, 0)
    threads = execution.default_threads()
    num_programs = len({chunk.program for chunk in waiting})
    total = (running * len(waiting) + compiling * num_programs) / threads
    return (
        f"estimated time: {_duration(total)} in {threads} threads "
        f"({running:.2g} s a chunk and {compiling:.2g} s a program, from the first chunk)"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
