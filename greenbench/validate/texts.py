"""The texts behind a measured row: that they are there, are of its data, and count to its error rates."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from greenbench import tasks
from greenbench.datasets import corpus, known
from greenbench.errors import InputError
from greenbench.hardware import environment
from greenbench.metrics import ACCURACY, INTERVALS
from greenbench.plugins import SAMPLE_RATE_HZ, TextPair
from greenbench.results import record
from greenbench.results.runfiles import SCORED
from greenbench.statistics.bootstrap import blocks, bootstrap_rate
from greenbench.text import characters, scorers
from greenbench.text.population import EARLIER
from greenbench.text.wer import score
from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.figures import differs

UNIT, *SLICED = SCORED
_EDITED = "Restore hypotheses.jsonl, or measure again."
MANY = 20
"""So many perfect texts are worth a word."""

GIVEN = "Nothing, if the model is this good: others will want to reproduce it (`greenbench leaderboard verify`)."
NOT_RECOUNTED = "Install the versions that the row names, or `greenbench rescore --amend`."
"""What to do about a row whose texts were not counted again, so that it is unknown whether they give its figures."""


def _has_texts(row: Row, evidence: Evidence) -> Iterator[str]:
    """The texts of a measured row are those of its data set, whole passes of which make its audio."""
    texts = evidence.texts.get(record.key_of(row), ())
    if len(texts) != row["n_utterances"]:
        yield f"n_utterances is {row['n_utterances']}, hypotheses.jsonl has {len(texts)} of this row"
        return
    if n_unknown := sum(text["audio_s"] is None for text in texts):
        yield f"{n_unknown} of its texts in hypotheses.jsonl have no audio_s"
        return
    pass_s = sum(text["audio_s"] for text in texts)
    yield from differs("audio_s", row["audio_s"], row["n_passes"] * pass_s, "n_passes x the data set's audio")
    spoken = [
        (text["utterance_id"], text["reference"], round(text["audio_s"] * SAMPLE_RATE_HZ), text.get("audio_digest"))
        for text in texts
    ]
    found = corpus.data_hash(spoken, corpus.hash_version(str(row["data_hash"])))
    if found != row["data_hash"]:
        yield f"data_hash is {row['data_hash']}, the texts' is {found}"


def recounted(row: Row, evidence: Evidence) -> Iterator[str]:
    """Counts and rates are those of the texts, where the same normaliser and scorer are installed."""
    expected = _expected(row, evidence)
    for name in ACCURACY if expected else ():
        if name not in INTERVALS and any(differs(name, row.get(name), expected.get(name), "")):
            yield from differs(name, row.get(name), expected.get(name), _counted_again(_texts(row, evidence)))


def _counted_again(pairs: tuple[TextPair, ...]) -> str:
    why = characters.recount(text for both in pairs for text in both[:2])
    return f"counted again; {why}" if why else "counted again"


def has_its_intervals(row: Row, evidence: Evidence) -> Iterator[str]:
    """Intervals are those of the method that the row names, and state the population that they describe."""
    expected, unit = _expected(row, evidence), row.get(UNIT)
    if expected and unit in EARLIER:
        yield from _has_its_bootstrap(row, evidence)
        return
    if expected and unit != expected[UNIT]:
        yield f"{UNIT} is {unit!r}, the speakers of the texts give {expected[UNIT]!r}"
    if expected and any(map(row.get, SLICED)) | any(pair.slices for pair in _texts(row, evidence)):
        for name in SLICED:
            if row.get(name) != expected.get(name):
                yield f"{name} is {row.get(name)!r}, the texts give {expected.get(name)!r}"
    for name in INTERVALS if expected else ():
        yield from differs(name, row.get(name), expected.get(name), "counted again")


def _has_its_bootstrap(row: Row, evidence: Evidence) -> Iterator[str]:
    """The interval of an earlier version is what its seed draws; other versions of the generator draw one near it."""
    now, then = _versions(), evidence.run["versions"]
    same = all(now.get(name) == then.get(name) for name in ("greenbench", "numpy"))
    drawn = _drawn(_texts(row, evidence), _how(row), evidence.steps.resamples)
    for name in drawn:
        ends = [drawn[f"{name[:3]}_ci_{end}"] for end in ("low", "high")]
        if same or None in (row.get(name), *ends):
            yield from differs(name, row.get(name), drawn[name], "counted again")
        elif abs(row[name] - drawn[name]) > (ends[1] - ends[0]) / 4 + 1e-6:
            yield f"{name} is {row[name]:g}, a bootstrap of the texts gives {drawn[name]:g}"


def _expected(row: Row, evidence: Evidence) -> Mapping[str, Any]:
    """Count a row's texts again; empty where there are none to count, or the scoring is not installed."""
    if evidence.texts.get(record.key_of(row)) is None or row.get("synthetic"):
        return {}
    how = _how(row)
    try:
        return {} if how is None else _score(_texts(row, evidence), *how)
    except InputError:  # which ``_are_answers`` says
        return {}


def _texts(row: Row, evidence: Evidence) -> tuple[TextPair, ...]:
    texts = evidence.texts[record.key_of(row)]
    return tuple(map(scorers.text_pair, texts))


def _is_the_known_data(row: Row, evidence: Evidence) -> Iterator[str]:
    """Data with the name of a published data set is that data set, or a part of it."""
    texts = evidence.texts.get(record.key_of(row)) or ()
    why = known.contradiction(row["dataset"], str(row.get("data_hash")), [str(text["reference"]) for text in texts])
    if why:
        yield f"the data is not what it is called: {why}"
    elif texts and _LIBRISPEECH.match(str(row["dataset"])):
        odd = next((text for text in texts if not _LIBRISPEECH_ID.fullmatch(text["utterance_id"])), None)
        if odd:
            yield f"the data is not what it is called: {odd['utterance_id']!r:.60} is not an utterance of LibriSpeech"


_LIBRISPEECH = re.compile(r"\W*libri\W?speech\W", re.IGNORECASE)
_LIBRISPEECH_ID = re.compile(r"\d+-\d+-\d{4}")


def _varies(row: Row, evidence: Evidence) -> Iterator[str]:
    """An interval has a width where utterances, or speakers, differ in their rate of errors."""
    texts, counted = evidence.texts.get(record.key_of(row)) or (), _expected(row, evidence)
    some_are_right = any(text["reference"] == text["hypothesis"] for text in texts)
    for low, high in (("wer_ci_low", "wer_ci_high"), ("cer_ci_low", "cer_ci_high")):
        is_point = row.get(low) is not None and row.get(low) == row.get(high)
        if is_point and row.get(low[:3]) and some_are_right and counted.get(low) != counted.get(high):
            yield f"{low} and {high} are both {row[low]:g}, although some utterances have errors and others have none"


def _is_plausible(row: Row, evidence: Evidence) -> Iterator[str]:
    """A recogniser that writes every letter and sign of every reference may have been given them."""
    texts = evidence.texts.get(record.key_of(row)) or ()
    if len(texts) >= MANY and all(text["hypothesis"] == text["reference"] for text in texts):
        yield f"all {len(texts)} texts are their references, letter by letter"


def _are_answers(row: Row, evidence: Evidence) -> Iterator[str]:
    """The texts are answers to the row's task."""
    how = _how(row)
    if how is not None and record.key_of(row) in evidence.texts and not row.get("synthetic"):
        try:
            _score(_texts(row, evidence), *how)
        except InputError as error:
            yield f"its texts are no answers: {error}"


def _other_scorer(row: Row, _evidence: Evidence) -> Iterator[str]:
    if _how(row) is None:
        yield f"{row.get('normalizer')} with {row.get('scorer')} is not installed, so nothing was counted again"


@lru_cache(maxsize=256)
def _score(pairs: tuple[TextPair, ...], task: str, scoring: str) -> Mapping[str, Any]:
    """Count again."""
    found, origin = tasks.create(task).score(pairs, scoring)
    return {**found, **origin}


@lru_cache(maxsize=256)
def _drawn(pairs: tuple[TextPair, ...], named: tuple[str, str] | None, n_resamples: int) -> Mapping[str, Any]:
    """Draw the bootstrap intervals of an earlier version; empty where the scoring is not installed."""
    if named is None:
        return {}
    how = scorers.create(named[1])
    references, hypotheses, speakers, *_ = zip(*pairs, strict=True)
    counted, found = score(references, hypotheses, how.normalize, how.count_words), dict[str, Any]()
    for rate, counts in (("wer", counted.words), ("cer", counted.chars)):
        drawn = bootstrap_rate([c.edits for c in counts], [c.n for c in counts], blocks(speakers), n_resamples)
        found[f"{rate}_ci_low"], found[f"{rate}_ci_high"] = drawn or (None, None)
    return found


@lru_cache
def _versions() -> Mapping[str, str]:
    return environment.versions()


def _how(row: Row) -> tuple[str, str] | None:
    """Return a row's task and scoring, or None where another version or none is installed."""
    return _installed(tasks.name_of(row), row.get("normalizer"), row.get("scorer"))


@lru_cache
def _installed(name: str, normalizer: str | None, scorer: str | None) -> tuple[str, str] | None:
    ids = {"normalizer": normalizer, "scorer": scorer}
    try:
        task = tasks.create(name)
        scoring = task.scoring_of(ids)
        return (name, scoring) if task.counted_by(scoring) == ids else None
    except InputError:
        return None


TEXTS = (
    Check(_has_texts, _EDITED),
    Check(_is_the_known_data, "Give the data set a name of its own in the suite, and measure again."),
    Check(_other_scorer, NOT_RECOUNTED),
    Check(_are_answers, _EDITED, dependent=True),
    Check(recounted, _EDITED, dependent=True),
    Check(_varies, _EDITED),
    Check(has_its_intervals, _EDITED, dependent=True),
    Check(_is_plausible, GIVEN, "warning"),
)
"""What holds between a measured row and ``hypotheses.jsonl``."""
