"""Manifest yields one clip a line, lazily, and tells every malformed line by file and number."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench import registry
from greenbench.datasets.manifest import Manifest
from greenbench.errors import BadAudioError, InputError, MissingError

Write = Callable[..., Manifest]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes lines (dicts as JSON, strings as they are) and returns the data set."""

    def write(*lines: object) -> Manifest:
        path = tmp_path / "set" / "part.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
        return Manifest(path)

    return write


@pytest.mark.speech
def test_the_an4_test_set_is_read_whole(speech: Path) -> None:
    """AN4's test set has 91 utterances of 7 speakers, as long as the manifest says."""
    path = speech / "an4" / "test.jsonl"
    data = Manifest(path)
    data.prepare()
    clips = list(data())
    assert data.label == "an4/test"
    assert len(clips) == 91
    assert len({clip.speaker for clip in clips}) == 7
    assert clips[0].id == "test/an391-mjwl-b"
    assert clips[0].reference == "ENTER TWO NINE EIGHT ONE"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for clip, entry in list(zip(clips, entries, strict=True))[::15]:
        assert len(clip.read()) / 16_000 == pytest.approx(entry["duration"], abs=0.06)


def test_paths_are_relative_to_the_manifest(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio is found beside the manifest, whatever the working directory; an absolute path is taken as it is."""
    soundfile.write(tmp_path / "elsewhere.wav", np.full(320, 0.1), 16_000)
    data = write(
        {"audio_filepath": "audio/a.wav", "text": "A"},
        {"audio_filepath": str(tmp_path / "elsewhere.wav"), "text": "B"},
    )
    (data.path.parent / "audio").mkdir()
    soundfile.write(data.path.parent / "audio/a.wav", np.full(160, 0.1), 16_000)
    monkeypatch.chdir(tmp_path)
    assert [clip.read().shape for clip in data()] == [(160,), (320,)]


def test_ids_and_speakers_are_taken_where_given(write: Write) -> None:
    """The id is the ``id`` key, else the path without its suffix; other keys are ignored; order is the file's."""
    clips = list(write(
        {"audio_filepath": "z/b.1.flac", "text": "", "duration": "unknown", "lang": "en"},
        {"audio_filepath": "a.flac", "text": "T", "id": "mine", "speaker": "s1"},
        {"audio_filepath": "b.flac", "text": "T", "id": 7, "speaker": 12},
    )())  # fmt: skip
    assert [(clip.id, clip.speaker, clip.reference) for clip in clips] == [
        ("z/b.1", None, ""), ("mine", "s1", "T"), ("7", "12", "T"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"audio_filepath": "b.wav", "text": "B"', "invalid JSON"),
        ("b.wav B", "invalid JSON"),
        ('["b.wav", "B"]', "object"),
        ('{"text": "B"}', "audio_filepath"),
        ('{"audio_filepath": "b.wav"}', "text"),
        ('{"audio_filepath": "b.wav", "text": null}', "text"),
        ('{"audio_filepath": "", "text": "B"}', "audio_filepath"),
        ('{"audio_filepath": ["b.wav"], "text": "B"}', "audio_filepath"),
        ('{"audio_filepath": "b.wav", "text": "B", "id": ""}', "id"),
        ('{"audio_filepath": "a.flac", "text": "B"}', "'a' occurs twice"),
        ('{"audio_filepath": "b.wav", "text": "B", "id": "a"}', "'a' occurs twice"),
    ],
)
def test_a_malformed_line_is_told_with_its_number(write: Write, line: str, problem: str) -> None:
    """A bad line gives one ``file:line: problem`` that names the key; blank lines count but do not matter."""
    data = write({"audio_filepath": "a.wav", "text": "A"}, "", line)
    with pytest.raises(InputError) as caught:
        list(data())
    message = str(caught.value)
    assert message.startswith(f"{data.path}:3: ")
    assert problem in message
    assert "\n" not in message


def test_bytes_that_are_not_utf8_are_told(write: Write) -> None:
    """A line in another encoding is an input error, not a traceback or a silently changed text."""
    data = write({"audio_filepath": "a.wav", "text": "A"})
    data.path.write_bytes(data.path.read_bytes() + b'{"audio_filepath": "b.wav", "text": "caf\xe9"}\n')
    with pytest.raises(InputError, match=re.escape(f"{data.path}:2: invalid JSON")):
        list(data())


def test_the_first_clip_comes_before_the_rest_is_read(write: Write) -> None:
    """The first of many clips is there before later lines are parsed, and without its audio."""
    data = write(*({"audio_filepath": f"{i}.wav", "text": "A"} for i in range(3000)), "not JSON")
    clips = data()
    assert next(clips).id == "0"
    with pytest.raises(InputError, match=":3001:"):
        list(clips)


def test_missing_audio_is_met_when_it_is_read(write: Write) -> None:
    """A listed file that does not exist is a bad file, named in full, when it is decoded."""
    (clip,) = write({"audio_filepath": "gone.wav", "text": "A"})()
    with pytest.raises(BadAudioError, match=r"set/gone\.wav: .*No such file"):
        clip.read()


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    """A manifest that is not there, or is a folder, is one line with the path and the option."""
    for path in (tmp_path / "gone.jsonl", tmp_path):
        for act in (Manifest(path).prepare, lambda path=path: next(Manifest(path)())):
            with pytest.raises(MissingError, match=re.escape(f"{path}: ") + ".*'path'"):
                act()


@pytest.mark.parametrize("lines", [(), ("", "  ")])
def test_an_empty_manifest_is_told(write: Write, lines: tuple[str, ...]) -> None:
    """A manifest without entries is an input error, not a corpus of 0 utterances."""
    data = write(*lines)
    with pytest.raises(InputError, match="empty"):
        list(data())


def test_the_suite_creates_it_relative_to_itself(write: Write, tmp_path: Path) -> None:
    """A path in a suite is tried beside the suite file; the label is the folder and the stem."""
    path = write({"audio_filepath": "a.wav", "text": "A"}).path
    data = registry.create("datasets", "manifest", {"path": "set/part.jsonl"}, tmp_path)
    assert data == Manifest(path.resolve())
    assert data.label == "set/part"


def test_speech_to_distil_from_needs_no_transcripts(write: Callable[..., Manifest]) -> None:
    """With ``transcribed: false`` a line may lack its text, and one that is there is not given away."""
    data = write(
        {"audio_filepath": "a.wav"}, {"audio_filepath": "b.wav", "text": None}, {"audio_filepath": "c.wav", "text": "C"}
    )
    assert [clip.reference for clip in replace(data, transcribed=False)()] == ["", "", ""]
    with pytest.raises(InputError, match=r":1: text: there is none.*transcribed: false"):
        list(data())


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(names, names, st.none() | names), min_size=1, max_size=8, unique_by=lambda e: e[0]))
def test_any_text_survives(entries: list[tuple[str, str, str | None]]) -> None:
    """Ids, texts and speakers come back as written, line separators of other scripts and NUL included."""
    import tempfile

    keys = ("id", "text", "speaker")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.jsonl")
        lines = (
            json.dumps({"audio_filepath": "x.wav", **dict(zip(keys, entry, strict=True))}, ensure_ascii=False)
            for entry in entries
        )
        path.write_bytes("\n".join(lines).encode())
        clips = list(Manifest(path)())
    assert [(clip.id, clip.reference, clip.speaker) for clip in clips] == entries
