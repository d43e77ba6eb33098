"""Builds that another engine runs: the model is written once as files, which are kept and opened from then on."""

import json
import pickle
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from greenbench import cache, processes
from greenbench.errors import InputError, MissingError
from greenbench.metrics import ratio
from greenbench.models.macs import fewer_frames, macs_of_work, work
from greenbench.plugins import Calibrated, Export, Footprint, Outline

if TYPE_CHECKING:
    from greenbench.models.chunk_steps import ChunkSteps
    from greenbench.models.segmented import RunEngine

SIZE = "size.json"

FORM = 5
"""Version of what is kept; 2: the work is with the files, 3: what stays floats in OpenVINO's builds as float16, 4: the
feature extractor's inputs, 5: the bits of a weight, and graphs between exits."""


@dataclass(frozen=True)
class ExportSource:
    """A model to be exported.

    Attributes:
        load: returns the torch module on the CPU and its feature extractor; picklable.
        about: what decides its content, JSON types only.
    """

    load: Callable[[], tuple[Any, Any]]
    about: Mapping[str, Any]


def files(source: ExportSource, build: Export) -> Path:
    """Return the folder of an exported model, exporting it in a process of its own if it is not kept.

    Only so is what a measured process holds in memory the same whether the export was at hand or not.

    Raises:
        MissingError: the export failed; the last line that it wrote says why.
    """
    return cache.artefact(_about(source, build), partial(export_apart, source, build))


def are_kept(source: ExportSource, build: Export) -> bool:
    """Say whether the files of an exported model are kept, so that ``files`` has nothing to export."""
    return cache.holds(_about(source, build))


def _about(source: ExportSource, build: Export) -> dict[str, Any]:
    how = {"build": type(build).__name__, "settings": repr(build), "versions": build.versions(), "form": FORM}
    data = build.calibrated_on() if isinstance(build, Calibrated) else None
    return {**source.about, **how, **({"calibration": data.digest} if data else {})}


def follow(before: Outline, build: str, streams: bool = False) -> Outline:
    """Refuse to export what the exporters of torch cannot trace.

    Args:
        before: what is exported.
        build: the export's name.
        streams: whether it exports models with chunks.

    Raises:
        InputError: the model is compiled, has chunks, or weights that are integers.
    """
    if before.compiled:
        raise InputError(f"{build} cannot follow compile, since another engine runs the model: leave compile out")
    if before.chunked and not streams:
        raise InputError(f"{build} cannot follow chunk-attention, whose caches it does not keep: use onnx, or torch")
    if before.integers:
        raise InputError(f"{build} cannot follow {before.integers}, since it takes a model in floats: leave it out")
    return before


def export_apart(source: ExportSource, build: Export, folder: Path) -> None:
    """Export a model in a process of its own.

    Raises:
        MissingError: it failed; the last line that it wrote says why.
    """
    command = [sys.executable, "-m", "greenbench.models.exported"]
    done = processes.run(command, processes.environment(), pickle.dumps((source.load, build, folder)))
    if done.returncode:
        raise MissingError(f"{type(build).__name__}: the model could not be exported: {processes.last_words(done)}")


def _export(load: Callable[[], tuple[Any, Any]], build: Export, aside: Path) -> None:
    """Write the model's files, and with them their size and the work of a transcription, until each exit if need be."""
    from greenbench.models import chunk_graphs, chunks, exits, segmented
    from greenbench.models.packed import to_floats

    model, extractor = load()
    model = to_floats(model.float())  # as engines take a model; its weights may come from a half, or be packed
    n_params, layers = sum(p.numel() for p in model.parameters()), exits.of(model)
    counted = {"n_params": n_params, "work": work(model) if layers is None else None, "factors": fewer_frames(model)}
    n_bits = build.export(model, extractor, aside)
    if layers is not None:
        segmented.write(model, layers, aside)
    if chunks.of(model) is not None:
        chunk_graphs.write(model, aside)
    stored = {
        "bits_per_weight": ratio(n_bits, n_params),
        "model_bytes": sum(f.stat().st_size for f in aside.iterdir()),
    }
    (aside / SIZE).write_text(json.dumps({**counted, **stored}), encoding="utf-8")


class Exported:
    """What a transcriber asks of a torch model, answered by another engine.

    Attributes:
        config: of the transformers model.
        steps: of a model with chunks, which is not called but streamed; None of another.
        footprint: parameters and work of the model that was exported, bytes of the files that run, and what the
            engine multiplies in.
    """

    def __init__(
        self, run: "RunEngine | ChunkSteps", config: Any, folder: Path, compute_dtype: str | None = None
    ) -> None:
        """Take an opened session and the folder it came from."""
        from greenbench.models.chunk_steps import ChunkSteps
        from greenbench.models.segmented import Segmented

        self._run, self.config = run, config
        self.steps = run if isinstance(run, ChunkSteps) else None
        size = json.loads((folder / SIZE).read_text(encoding="utf-8"))
        macs = partial(macs_of_work, config, size.pop("work"), factors=size.pop("factors"))
        exits = run.early_exits(config) if isinstance(run, Segmented) else None
        self.footprint = Footprint(**size, macs=macs, compute_dtype=compute_dtype, exits=exits)

    def __call__(self, **inputs: Any) -> Any:
        """Run the inputs of the transformers model; return an object with ``logits``."""
        import torch

        assert callable(self._run), "a model with chunks is streamed"
        logits = self._run({name: tensor.numpy() for name, tensor in inputs.items()})
        return SimpleNamespace(logits=torch.from_numpy(logits))


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of packages, and of what every export depends on."""
    return {name: version(name) for name in ("torch", "transformers", *packages)}


def main() -> None:
    """Export what standard input describes; for ``files``.

    Ctrl-C ends it at once, without a handler: what it began is removed by its parent, and while NNCF works a handler
    could find no stack to run on (see ``openvino_core``).
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell asked for it to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    load, build, folder = pickle.load(sys.stdin.buffer)  # noqa: S301 (from the parent process)
    processes.follow_parent(sys.stdin.buffer)
    _export(load, build, folder)


if __name__ == "__main__":
    main()
