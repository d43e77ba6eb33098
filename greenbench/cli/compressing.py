"""The command line's part about making students, and about what is kept of exports."""

import signal
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from greenbench.cli.console import echo
from greenbench.cli.output import Json, Lock, Wait, print_table, print_training


def compress(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    out: Annotated[Path | None, typer.Option(help="The student's folder.", show_default="models/<name>")] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", help="Override one value: name=student-4l, steps.0.keep=4")
    ] = [],  # noqa: B006
    wait: Wait = False,
    lock: Lock = True,
) -> None:
    """Make a student by a recipe; run the same command again to resume an interrupted training."""
    from greenbench.recipes import student
    from greenbench.recipes.recipe import load

    loaded = load(recipe, overrides)
    folder = out or Path("models") / loaded.name
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        student.make_student(loaded, folder, print_training, wait, lock)
    except KeyboardInterrupt:
        if student.leads():
            echo(f"\ninterrupted; {student.progress(folder)}", err=True)
        raise typer.Exit(130) from None
    if not student.leads():
        return
    echo(f"student: {folder}\nmeasure it as a variant: {{use: wav2vec2, model: {folder}}}, or file:{folder}")


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Empty the cache.")] = False,
    as_json: Json = False,
) -> None:
    """List the cache (exports, peaks, teachers' logits), least recently used first; GREENBENCH_CACHE_GIB limits it."""
    from greenbench import cache

    if clear:
        echo(f"freed {cache.clear() / 1e6:.1f} MB in {cache.folder()}")
        return
    rows = [{"build": a.about.get("build"), "settings": a.about.get("settings"), "size_mb": round(a.n_bytes / 1e6, 1),
             "used": f"{datetime.fromtimestamp(a.used_s):%Y-%m-%d %H:%M}", "path": str(a.path)}
            for a in cache.artefacts()]  # fmt: skip
    if not rows and not as_json:
        echo(f"nothing is kept in {cache.folder()}")
        return
    print_table(f"kept in {cache.folder()}", rows, as_json)
