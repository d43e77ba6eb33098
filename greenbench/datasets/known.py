"""Published data sets by their names in rows: what each holds, so that a name can be checked against its data.

How a split is pinned: ``python tools/pin_data.py test-clean`` downloads the archive from OpenSLR into a new folder,
checks its published md5 (``librispeech.ARCHIVES``), passes over it once and prints the split's ``Known`` line. The
data hash is made of ids, transcripts and samples (``corpus.data_hash``), no more, so that one archive gives one hash on
every machine, in whatever folder and lossless format it lies. What is bundled is pinned by a test that passes over it.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenbench.datasets.corpus import hash_version


@dataclass(frozen=True)
class Known:
    """What a published data set holds.

    Attributes:
        n_utterances: all of it.
        n_words: of its transcripts, separated by white space.
        data_hash: of the whole, as rows have it; None where nobody has pinned it yet.
        source: what the figures were taken from.
    """

    n_utterances: int
    n_words: int
    data_hash: str | None
    source: str


_OPENSLR = "the words and utterances that Kaldi's recipes count in SLR12; not pinned: the archive was not at hand"
_BUNDLED = "the files of this package"

KNOWN: Mapping[str, Known] = {
    "librispeech/dev-clean": Known(2703, 54402, None, _OPENSLR),
    "librispeech/dev-other": Known(2864, 50948, None, _OPENSLR),
    "librispeech/test-clean": Known(2620, 52576, None, _OPENSLR),
    "librispeech/test-other": Known(2939, 52343, None, _OPENSLR),
    "quickstart": Known(270, 2293, "v2-0f09ff883dd7dbff", _BUNDLED),
    "quickstart/seen": Known(210, 1754, "v2-1e2ea86398deb25c", _BUNDLED),
    "quickstart/unseen": Known(60, 539, "v2-92ae6bdd66f91519", _BUNDLED),
    "quickstart/unlabelled": Known(600, 0, "v2-6dea55e7eaba2e84", _BUNDLED),
}
"""Name of a data set in rows -> what it holds. A part of one has another name: ``librispeech/test-other[:200]``."""


def contradiction(dataset: str, data_hash: str, references: Sequence[str]) -> str | None:
    """Say why data is not the published data set whose name it has.

    Args:
        dataset: its name in rows.
        data_hash: of the data, in the form of any version; one of an older version is compared with nothing.
        references: the transcripts, as the data set gives them.

    Returns:
        What differs; None where nothing does, or where the name is no published data set's.
    """
    name = meant(dataset)
    known = KNOWN.get(name or "")
    if known is None:
        return None
    n_words = sum(len(text.split()) for text in references)
    for what, found, right in (("utterances", len(references), known.n_utterances), ("words", n_words, known.n_words)):
        if found != right:
            return f"{name} has {right} {what}, this has {found}: other data needs another name"
    if known.data_hash and hash_version(data_hash) == hash_version(known.data_hash) and data_hash != known.data_hash:
        return f"the data hash of {name} is {known.data_hash}, this is {data_hash}"
    return None


def meant(dataset: str) -> str | None:
    """Return the published data set that a name reads as, or None.

    Case, blanks, signs between words, Unicode's forms and what nobody sees make no other name, and a letter of another
    script stands for whichever it looks like.
    """
    seen = "".join(c for c in unicodedata.normalize("NFKC", dataset).casefold() if unicodedata.category(c) != "Cf")
    words = re.sub(r"[^a-z0-9]+", lambda gap: "-" if gap[0].isascii() else f".{{{len(gap[0])}}}", seen).strip("-")
    if 2 * sum(c.isascii() for c in seen) <= len(seen):
        return None
    return next((name for name in KNOWN if re.fullmatch(words, name.replace("/", "-"))), None)


def is_pinned(dataset: str) -> bool:
    """Say whether the data behind a name can be distinguished from other data of the same size."""
    name = meant(dataset)
    return name is not None and KNOWN[name].data_hash is not None
