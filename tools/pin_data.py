"""Print what splits of LibriSpeech hold, for ``datasets/known.py``, as in ``python tools/pin_data.py test-clean``."""

import sys
import tempfile
from pathlib import Path
from typing import get_args

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.librispeech import ARCHIVES, LibriSpeech, Subset


def main() -> None:
    """Download the archive anew, so that its md5 was checked, and pass over it once."""
    for subset in sys.argv[1:]:
        if subset not in get_args(Subset):
            raise SystemExit(f"no subset '{subset}': {', '.join(get_args(Subset))}")
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            data = LibriSpeech(Path(folder), subset)
            data.prepare()
            corpus = Corpus(data)
            n_words = sum(len(u.reference.split()) for chunk in corpus.chunks() for u in chunk)
        assert corpus.stats is not None
        source = f'"SLR{ARCHIVES[subset][0]}, md5 {ARCHIVES[subset][1]}"'
        print(f'"{data.label}": Known({corpus.stats.n_utterances}, {n_words}, "{corpus.stats.data_hash}", {source}),')


if __name__ == "__main__":
    main()
