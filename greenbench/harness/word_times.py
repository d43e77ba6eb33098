"""When the words of a data set were spoken, where it does not say so: a CTC model aligns them before the first cell.

That is done in a process of its own, so that no measured process holds the aligner, and its result is kept.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from greenbench import cache, processes
from greenbench.datasets.corpus import Corpus
from greenbench.errors import GreenbenchError, MissingError
from greenbench.files import readback
from greenbench.files.unicode import to_json
from greenbench.harness.ctc_aligner import CtcAligner
from greenbench.harness.foreseen import Foreseen
from greenbench.harness.heartbeat import beating
from greenbench.plugins import Compressible, WordTime
from greenbench.plugins.events import Observer, Preparing
from greenbench.suite.entries import DatasetEntry, VariantEntry, build_family, build_variant, corpus_of
from greenbench.suite.plan import Cell

FILE = "word_times.json"

FORM = 1
"""Version of how words are aligned; those of another are not taken from the cache."""

N_DIGEST = 8
"""Hexadecimal digits of the digest of an aligner's weights."""

Words = tuple[WordTime, ...]


@dataclass(frozen=True)
class Aligned:
    """The word times of a data set.

    Attributes:
        source: who aligned them, for rows.
        words: of each utterance by its id; none where they could not be aligned.
        unaligned: how many could not be, by the reason.
    """

    source: str
    words: Mapping[str, Words]
    unaligned: Mapping[str, int]

    @property
    def note(self) -> str | None:
        """How many utterances could not be aligned and why; None where all could be."""
        why = ", ".join(f"{n} {reason}" for reason, n in self.unaligned.items())
        return f"{sum(self.unaligned.values())} of {len(self.words)} utterances are not aligned: {why}" if why else None


# --- before the cells ------------------------------------------------------------------------------------


def prepare(
    cells: Iterable[Cell], aligner: VariantEntry | None, observe: Observer
) -> tuple[dict[str, Path], list[Foreseen]]:
    """Align the words of each data set that is streamed and does not state them of every utterance.

    Args:
        cells: that can be measured.
        aligner: the model, from the suite; None where nothing is to be aligned.
        observe: receives what takes long, as events.

    Returns:
        The file of each such data set, and what keeps cells from being measured: that a data set cannot be aligned.
    """
    files, failed = dict[str, Path](), list[Foreseen]()
    if aligner is None:
        return files, failed
    sets = {str(cell.dataset.name): cell.dataset for cell in cells if cell.scenario == "streaming"}
    for name, entry in sets.items():
        if all(clip.words for clip in corpus_of(entry).clips()):
            continue
        try:
            with beating(observe, Preparing(f"aligning the words of {name} by {aligner.name}")):
                files[name] = _apart(entry, aligner)
        except GreenbenchError as error:
            failed.append(Foreseen("missing", f"streaming.aligner: {error}", dataset=name, scenario="streaming"))
    return files, failed


def _apart(entry: DatasetEntry, aligner: VariantEntry) -> Path:
    """Align, or find what is kept, in a process of its own; return the file.

    Raises:
        MissingError: it failed; the last line that it wrote says why.
    """
    order = to_json({"dataset": entry.model_dump(mode="json"), "aligner": aligner.model_dump(mode="json")})
    command = [sys.executable, "-m", "greenbench.harness.word_times"]
    done = processes.run(command, processes.environment(), order.encode() + b"\n")
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        raise MissingError(f"the words could not be aligned: {processes.last_words(done)}")
    return Path(lines[-1])


def read(path: Path | None) -> Aligned | None:
    """Return what ``prepare`` has aligned; None without a file.

    Raises:
        StoreError: the file cannot be read.
    """
    if path is None:
        return None
    found = readback.read_object(path)
    words = {name: tuple(WordTime(**one) for one in of) for name, of in found["words"].items()}
    return Aligned(found["source"], words, found["unaligned"])


# --- aligning --------------------------------------------------------------------------------------------


def kept(entry: DatasetEntry, aligner: VariantEntry) -> Path:
    """Return the file with the word times of a data set, aligning it first if that is not kept."""
    variant, corpus = build_variant(aligner), corpus_of(entry)
    variant.fetch()
    for _ in corpus.chunks():
        pass
    assert corpus.stats is not None
    weights = variant.identity() if variant.identity else ()
    about = {
        "build": "word times",
        "settings": f"{entry.name} by {aligner.name}",
        "weights": weights,
        "speech": corpus.stats.data_hash,
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "form": FORM,
    }
    source = f"ctc-alignment:{aligner.name}@{hashlib.sha256(repr(weights).encode()).hexdigest()[:N_DIGEST]}"
    return cache.artefact(about, partial(_write, aligner, corpus, source)) / FILE


def _write(aligner: VariantEntry, corpus: Corpus, source: str, aside: Path) -> None:
    family = build_family(aligner)
    assert isinstance(family, Compressible)
    ctc, why = CtcAligner(*family.open()), Counter[str]()
    words = dict[str, list[dict[str, Any]]]()
    for chunk in corpus.chunks():
        for utterance in chunk:
            found = ctc.words(utterance.audio, utterance.reference)
            why.update([found] if isinstance(found, str) else [])
            words[utterance.id] = [] if isinstance(found, str) else [asdict(word) for word in found]
    (aside / FILE).write_text(to_json({"source": source, "words": words, "unaligned": why}), encoding="utf-8")


def main() -> None:
    """Align what standard input describes; print the path of the file."""
    order = json.loads(processes.follow_parent(sys.stdin.buffer)())
    try:
        path = kept(DatasetEntry.model_validate(order["dataset"]), VariantEntry.model_validate(order["aligner"]))
    except GreenbenchError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
