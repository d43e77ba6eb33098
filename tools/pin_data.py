"""Print what data sets hold, for ``datasets/known.py``: ``python tools/pin_data.py test-clean quickstart``.

``quickstart`` is the bundled speech; every other name is a split of LibriSpeech.
"""

import sys
import tempfile
from pathlib import Path
from typing import get_args

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.librispeech import ARCHIVES, LibriSpeech, Subset
from greenbench.datasets.quickstart import Quickstart

BUNDLED = (Quickstart(), Quickstart("seen"), Quickstart("unseen"), Quickstart(part="unlabelled"))


def known(data: LibriSpeech | Quickstart, source: str) -> str:
    """Pass over a data set once and return its line."""
    data.prepare()
    corpus = Corpus(data)
    n_words = sum(len(u.reference.split()) for chunk in corpus.chunks() for u in chunk)
    assert corpus.stats is not None
    return f'"{data.label}": Known({corpus.stats.n_utterances}, {n_words}, "{corpus.stats.data_hash}", {source}),'


def main() -> None:
    """Print the lines; an archive is downloaded anew, so that its md5 was checked."""
    for subset in sys.argv[1:]:
        if subset == "quickstart":
            print(*(known(data, "_BUNDLED") for data in BUNDLED), sep="\n")
            continue
        if subset not in get_args(Subset):
            raise SystemExit(f"no subset '{subset}': quickstart, {', '.join(get_args(Subset))}")
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            print(known(LibriSpeech(Path(folder), subset), f'"SLR{ARCHIVES[subset][0]}, md5 {ARCHIVES[subset][1]}"'))


if __name__ == "__main__":
    main()
