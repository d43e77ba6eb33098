"""Keywords: present where they are said, absent where not even their letters are, near by spelling, and seeded."""

import json
import re
from collections import defaultdict
from typing import Any

import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.suite.entries import DatasetEntry, corpus_of, resolve_dataset, task_of


def data_set(**settings: Any) -> Any:
    return registry.create("datasets", "keywords", {"of": "quickstart", **settings})


def transcripts() -> dict[str, list[str]]:
    clips = registry.create("datasets", "quickstart", {})()
    return {clip.id: re.findall(r"[a-z']+", clip.reference.lower()) for clip in clips}


def asked(**settings: Any) -> dict[str, dict[str, bool]]:
    return {clip.id: json.loads(clip.reference) for clip in data_set(**settings)()}


def by_keyword(found: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
    trials: dict[str, dict[str, bool]] = defaultdict(dict)
    for name, own in found.items():
        for keyword, is_present in own.items():
            trials[keyword][name] = is_present
    return trials


def distance(a: str, b: str) -> int:
    """Return the letters to be changed, added and removed to make b of a (Levenshtein, 1966), by its recursion."""
    row = [*range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def test_a_keyword_is_said_where_it_is_present_and_nowhere_in_the_letters_where_it_is_absent() -> None:
    """Nor within a longer word or across two, where its sounds would be."""
    said, trials = transcripts(), by_keyword(asked())
    assert len(trials) == 40
    for keyword, of in trials.items():
        assert len(keyword) >= 4
        for name, is_present in of.items():
            letters = "".join(said[name]).replace("'", "")
            assert (keyword in said[name]) if is_present else (keyword not in letters)


def test_twice_as_many_lack_it_and_half_of_these_have_a_word_that_is_near() -> None:
    """As far as there are so many that are near."""
    said = transcripts()
    for keyword, of in by_keyword(asked(n_present=3)).items():
        present, absent = ([name for name, p in of.items() if p is kind] for kind in (True, False))
        assert 1 <= len(present) <= 3
        assert len(absent) == 2 * len(present)
        free = {name: words for name, words in said.items() if keyword not in "".join(words).replace("'", "")}
        near = {name for name, words in free.items() if any(distance(word, keyword) <= 2 for word in words)}
        assert len(near.intersection(absent)) >= min(len(present), len(near))


def test_the_seed_decides_and_nothing_else() -> None:
    """Two passes are the same; another seed is another data set, which the data hash says."""
    assert asked() == asked()
    assert asked(seed=1) != asked()
    hashes = []
    for seed in (0, 0, 1):
        corpus = corpus_of(DatasetEntry(use="keywords", of="quickstart", n_keywords=2, n_present=1, seed=seed))
        assert len(list(corpus.chunks())) == 1
        assert corpus.stats is not None
        hashes.append(corpus.stats.data_hash)
        assert corpus.stats.doubts == []  # a reference is no transcript that could be too long for its audio
    assert hashes[0] == hashes[1] != hashes[2]


def test_utterances_stay_in_their_order_and_keep_speaker_and_slices() -> None:
    """Only what is asked changes; utterances of which nothing is asked are left out."""
    clips = {clip.id: clip for clip in registry.create("datasets", "quickstart", {})()}
    found = list(data_set(n_keywords=5)())
    assert [clip.id for clip in found] == [name for name in clips if name in {clip.id for clip in found}]
    assert 0 < len(found) < len(clips)
    assert all((clip.speaker, clip.slices) == (clips[clip.id].speaker, clips[clip.id].slices) for clip in found)


def test_a_suite_names_it_after_what_it_is_of() -> None:
    """Settings of the data set within it are resolved with it, and it is for the task detect."""
    (entry,) = resolve_dataset(DatasetEntry(use="keywords", of={"use": "quickstart", "voices": "unseen"}), base=None)
    assert (entry["name"], entry["of"]) == ("keywords(quickstart/unseen)", {"use": "quickstart", "voices": "unseen"})
    assert task_of("keywords") == "detect"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": "quickstrat"}, "Did you mean 'quickstart'"),
        ({"of": {"use": "keywords", "of": "quickstart"}}, "keywords has no transcripts"),
        ({"n_keywords": 0}, "n_keywords: "),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    """The name of the data set within, and limits."""
    with pytest.raises(InputError, match=message):
        data_set(**settings)


def test_speech_without_transcripts_has_no_keywords() -> None:
    """It says so when it is read."""
    with pytest.raises(InputError, match=r"keywords\(quickstart/unlabelled\): no word of 4 letters or more"):
        list(data_set(of={"use": "quickstart", "part": "unlabelled"})())
