"""Manifest yields one clip a line, lazily, and tells every malformed line by file and number."""

import json
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench import identifiers, registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.manifest import Manifest
from greenbench.errors import BadAudioError, InputError, MissingError
from greenbench.plugins import WordTime
from greenbench.text.characters import as_read

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
    assert clips[0].id == "an391-mjwl-b"
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
        {"audio_filepath": "z/b.1.flac", "text": "", "duration": None, "lang": "en", "pred_text": "x"},
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
        ("b.wav B", "a manifest is JSON lines, not a table"),
        ("path,sentence", "a manifest is JSON lines, not a table (CSV, TSV) or plain text"),
        ("version https://git-lfs.github.com/spec/v1", "a git-lfs pointer, not the file: run `git lfs pull`"),
        ("<!DOCTYPE html>", "a web page, as a download that failed leaves it"),
        ('{"audio_filepath" "b.wav"}', "invalid JSON: expecting ':' delimiter: column 19"),
        ('["b.wav", "B"]', "one object a line, not an array"),
        ("[", "one object a line, not an array, nor an object over several lines"),
        ("{", "one object a line, not an array, nor an object over several lines"),
        ('[{"audio_filepath": "b.wav",', "one object a line, not an array"),
        ('{"audio_filepath": "b.wav", "text": "B"},', "a comma after the object: one object a line"),
        ("7", "one JSON object a line is expected, not 7"),
        ('{"audio": "b.wav", "sentence": "B"}', "the keys are audio, sentence; expected are audio_filepath, text, id,"),
        (
            '{"audio_filepath": "b.wav", "sentence": "B"}',
            "text: there is none; the keys are audio_filepath, sentence; expected are",
        ),
        ("{}", "the keys are none; expected are"),
        *(
            (f'{{"audio_filepath": "b.wav", "text": {value}}}', f"text: a text is expected, not {value}")
            for value in ("NaN", "Infinity", "-Infinity", "7.1", "55", "true", '["B"]', '{"a": 1}')
        ),
        *(
            (f'{{"audio_filepath": "b.wav", "text": "B", "{key}": {value}}}', f"{key}: a text or a number is expected")
            for key in ("id", "speaker")
            for value in ("NaN", "Infinity", "true", "[1]", "{}")
        ),
        *(
            (f'{{"audio_filepath": "b.wav", "text": "B", "{key}": {value}}}', f"{key}: ")
            for key in ("offset", "duration")
            for value in ("NaN", "Infinity", "-1", '"1.5"', "true", "[1]")
        ),
        ('{"audio_filepath": "b.wav", "text": "B", "duration": 0}', "duration: "),
        ('{"audio_filepath": 7, "text": "B"}', "audio_filepath: "),
        ('{"audio_filepath": "https://example.org/b.wav", "text": "B"}', "is an address, not a file: download it"),
        ('{"audio_filepath": "s3://bucket/b.wav", "text": "B"}', "is an address, not a file: download it"),
        *(
            (f'{{"audio_filepath": "b.wav", "text": "B", "{key}": 1.5}}', f"{key}: says ")
            for key in (
                "start",
                "end",
                "begin",
                "stop",
                "start_time",
                "end_time",
                "target_channel",
                "speed",
                "tempo",
                "offset_s",
                "offset_ms",
                "start_sec",
                "end_seconds",
                "begin_time_s",
                "start_frame",
                "OFFSET_S",
            )
        ),
        ('{"audio_filepath": "b.wav", "text": "B", "supervisions": [{}]}', "write it as `offset` and `duration`"),
        (
            '{"audio_filepath": "b.wav", "text": "B", "channel_selector": 0}',
            "write it as `channel`, counted from 0 (got",
        ),
        ('{"audio_filepath": "b.wav", "text": "B", "channel": 1.5}', "channel: "),
        ('{"audio_filepath": "b.wav", "text": "B", "channel": -1}', "channel: "),
        ('{"audio_filepath": "b.wav", "text": "B", "text": "C"}', "the key 'text' is given twice"),
        (f'{{"audio_filepath": "b.wav", "text": "B", "x": {"[" * 99}{"]" * 99}}}', "nested deeper than"),
        (f'{{"audio_filepath": "b.wav", "text": "{"B" * 2**21}"}}', "the line is longer than 2 MB"),
        ('{"text": "B"}', "audio_filepath"),
        ('{"audio_filepath": "b.wav"}', "text"),
        ('{"audio_filepath": "b.wav", "text": null}', "text"),
        ('{"audio_filepath": "", "text": "B"}', "audio_filepath"),
        ('{"audio_filepath": ["b.wav"], "text": "B"}', "audio_filepath"),
        ('{"audio_filepath": "b.wav", "text": "B", "id": ""}', "id"),
        ('{"audio_filepath": "a.flac", "text": "B"}', "'a' occurs twice"),
        ('{"audio_filepath": "./x/../a.wav", "text": "B"}', "'a' occurs twice"),
        ('{"audio_filepath": "b.wav", "text": "B", "id": "a"}', "'a' occurs twice"),
        ('{"audio_filepath": "b.wav", "text": "B", "id": "a\u200b"}', "occurs twice"),
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
    with pytest.raises(
        InputError, match=re.escape(f"{data.path}:2: not UTF-8: byte 0xe9 ('é' in Windows-1252) at column 41")
    ):
        list(data())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_and_windows_lines_are_read(write: Write, encoding: str, newline: str) -> None:
    """What Windows editors put around lines is no part of them."""
    data = write({"audio_filepath": "a.wav", "text": "A"}, {"audio_filepath": "b.wav", "text": "B"})
    data.path.write_bytes(data.path.read_text().replace("\n", newline).encode(encoding))
    assert [(clip.id, clip.reference) for clip in data()] == [("a", "A"), ("b", "B")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_named(write: Write, encoding: str) -> None:
    """A file of two or four bytes a character is told to be one."""
    data = write({"audio_filepath": "a.wav", "text": "A"})
    data.path.write_bytes(data.path.read_text().encode(encoding))
    with pytest.raises(InputError, match=re.escape(f"{data.path}:1: it looks like UTF-16: save the file as UTF-8")):
        list(data())


def test_keys_that_mean_no_part_do_not_matter(write: Write) -> None:
    """Null, a start at 0 and a speed of 1 leave the audio as it is."""
    line = {"audio_filepath": "a.wav", "text": "A", "start": 0, "end": None, "speed": 1.0, "channel": None}
    assert len(list(write(line)())) == 1


def test_segments_of_one_recording_are_its_parts(write: Write) -> None:
    """Lines with offset and duration are the audio of files cut there, and each has an id of its own."""
    data = write(
        {"audio_filepath": "meeting.wav", "text": "A", "offset": 0, "duration": 0.5},
        {"audio_filepath": "meeting.wav", "text": "B", "offset": 0.5000624999, "duration": 0.25},
        {"audio_filepath": "meeting.wav", "text": "C", "offset": 0.75},
        {"audio_filepath": "meeting.wav", "text": "D", "duration": 1.0},
        {"audio_filepath": "meeting.wav", "text": "E", "offset": 0.1, "duration": 2, "id": "mine"},
    )
    samples = np.random.default_rng(0).integers(-9999, 9999, 16_000, dtype=np.int16)
    soundfile.write(data.path.parent / "meeting.wav", samples, 16_000)
    clips = list(data())
    assert [clip.id for clip in clips] == [
        "meeting@0.000-0.500", "meeting@0.500-0.750", "meeting@0.750-", "meeting", "mine",
    ]  # fmt: skip
    for clip, part in zip(clips, (slice(8000), slice(8001, 12_001), slice(12_000, None), slice(None)), strict=False):
        np.testing.assert_array_equal(clip.read() * 32768, samples[part])
        assert clip.duration_s() == pytest.approx(len(samples[part]) / 16_000)
    with pytest.raises(BadAudioError, match=r"the part from 0\.100 to 2\.100 s reaches past its end, 1\.000 s"):
        clips[-1].read()


def test_channels_of_one_recording_are_utterances(write: Write) -> None:
    """A line with a channel, counted from 0, is that one alone, its digest that of a file of it; without, the mean."""
    line = {"audio_filepath": "a.wav", "text": "A"}
    beyond = {**line, "channel": 2, "offset": 0.5}
    data = write({**line, "channel": 1}, line, {**line, "audio_filepath": "alone.wav"}, beyond)
    samples = np.random.default_rng(0).integers(-9999, 9999, (16_000, 2), dtype=np.int16)
    for rate in (16_000, 8_000):
        soundfile.write(data.path.parent / "a.wav", samples, rate)
        soundfile.write(data.path.parent / "alone.wav", samples[:, 1], rate)
        second, mean, alone, absent = data()
        np.testing.assert_array_equal(second.read(), alone.read())
        assert not np.array_equal(second.read(), mean.read())
        assert second.digest() == alone.digest() != mean.digest()
        with pytest.raises(
            BadAudioError, match=r"a\.wav: bad audio: it has 2 channels, and no channel 2, counted from 0"
        ):
            absent.read()
    assert [clip.id for clip in data()] == ["a@ch1", "a", "alone", "a@ch2@0.500-"]


def test_a_duration_that_is_not_the_files_is_refused(write: Write) -> None:
    """A line whose whole file lasts otherwise than it says is bad audio, with both figures."""
    data = write({"audio_filepath": "a.wav", "text": "A", "duration": 2.0})
    soundfile.write(data.path.parent / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(BadAudioError, match=r"the manifest's duration is 2\.000 s, its header 1\.000 s at 16000 Hz"):
        next(data()).read()


def test_ids_are_alike_wherever_the_audio_lies(tmp_path: Path) -> None:
    """Absolute paths under two roots, and relative ones, give the same ids and data hash, and no root in them."""
    hashes, ids = set(), set()
    for root, is_absolute in (("one", True), ("another/place", True), ("third", False)):
        folder = tmp_path / root / "corpus"
        lines = []
        for name, text in (("s1/a", "A"), ("s1/b", "B"), ("s2/a", "C")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{name}.flac", np.full(160, ord(text) / 200), 16_000)
            place = folder / f"{name}.flac" if is_absolute else Path("corpus") / f"{name}.flac"
            lines.append(json.dumps({"audio_filepath": str(place), "text": text}))
        path = tmp_path / root / "manifest.jsonl"
        path.write_text("\n".join(lines))
        corpus = Corpus(Manifest(path))
        ids.add(tuple(u.id for chunk in corpus.chunks() for u in chunk))
        hashes.add(corpus.stats.data_hash)
    assert ids == {("s1/a", "s1/b", "s2/a")}
    assert len(hashes) == 1


def test_ids_are_alike_however_a_system_stores_names(tmp_path: Path) -> None:
    """macOS decomposes letters in the names of files; the ids of one corpus are the same there and on Linux."""
    ids = set()
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "caf\u00e9.wav")
        soundfile.write(tmp_path / name, np.full(160, 0.1), 16_000)
        (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": name, "text": "A"}))
        ids |= {clip.id for clip in Manifest(tmp_path / "m.jsonl")()}
    assert ids == {"caf\u00e9"}


@pytest.mark.parametrize("speaker", ["", "  ", None])
def test_a_blank_speaker_is_not_known(write: Write, speaker: str | None) -> None:
    """A column that is left empty names nobody: it makes no single speaker of a whole corpus."""
    assert [clip.speaker for clip in write({"audio_filepath": "a.wav", "text": "A", "speaker": speaker})()] == [None]


@pytest.mark.parametrize("speaker", ["J\u00f6rg", " J\u00f6rg", "Jo\u0308rg", "J\u00f6rg\u200b", "\ufeffJ\u00f6rg"])
def test_who_is_written_alike_is_one_speaker(write: Write, speaker: str) -> None:
    """Blanks, invisible characters and how a letter is stored make no speaker more, and no interval narrower."""
    (clip,) = write({"audio_filepath": "a.wav", "text": "A", "speaker": speaker})()
    assert clip.speaker == "J\u00f6rg"


def test_files_above_the_manifest_have_ids_without_dots(write: Write) -> None:
    """A path that climbs is no part of an id; nor is a home folder."""
    lines = ("../lib/a.wav", "~/b.wav", r"..\lib\c.wav")
    clips = list(write(*({"audio_filepath": name, "text": "A"} for name in lines))())
    assert clips[2].id == clips[0].id[:-1] + "c"
    assert not any(identifiers.is_private_id(clip.id) or ".." in clip.id or "~" in clip.id for clip in clips)


def test_missing_files_are_named_together(write: Write) -> None:
    """The first missing file is an error that names some of the others and counts them all."""
    data = write(*({"audio_filepath": f"{i}.wav", "text": "A"} for i in range(9)))
    for i in (0, 5):
        soundfile.write(data.path.parent / f"{i}.wav", np.full(160, 0.1), 16_000)
    with pytest.raises(BadAudioError) as caught:
        list(Corpus(data).chunks())
    first, rest = str(caught.value).split("; ")
    assert first == f"{data.path.parent / '1.wav'}: bad audio: it cannot be opened (No such file or directory)"
    named = ", ".join(str(data.path.parent / f"{i}.wav") for i in (2, 3, 4))
    assert rest == f"6 more files are missing: {named} ... Replace the file, or set on_bad_audio: skip."


def test_every_line_is_checked_before_the_first_clip(write: Write) -> None:
    """A bad line at the end is met before any audio is decoded, when the data is prepared."""
    data = write(*({"audio_filepath": f"{i}.wav", "text": "A"} for i in range(3000)), "not JSON")
    for act in (data.prepare, lambda: next(data())):
        with pytest.raises(InputError, match=":3001:"):
            act()


def test_no_audio_is_opened_before_it_is_read(write: Write) -> None:
    """Listing a manifest opens none of its files."""
    assert [clip.id for clip in write({"audio_filepath": "gone.wav", "text": "A"})()] == ["gone"]


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe in place of a manifest is refused at once."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(MissingError, match="it is a pipe"):
        Manifest(tmp_path / "pipe.jsonl").prepare()


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
        {"audio_filepath": "a.wav"},
        {"audio_filepath": "b.wav", "text": None},
        {"audio_filepath": "c.wav", "text": "C"},
        {"audio_filepath": "d.wav", "text": float("nan")},
    )
    assert [clip.reference for clip in replace(data, transcribed=False)()] == [""] * 4
    with pytest.raises(InputError, match=r":1: text: there is none.*transcribed: false"):
        list(data())


def test_ids_that_look_the_same_are_one_id(write: Write) -> None:
    """A composed and a decomposed letter are read as one, so that nobody could tell these utterances apart."""
    lines = [
        {"audio_filepath": f"{n}.wav", "text": "A", "id": name} for n, name in enumerate(("caf\u00e9", "cafe\u0301"))
    ]
    with pytest.raises(InputError, match=":2: the id .* occurs twice"):
        list(write(*lines)())


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(names, names, st.none() | names), min_size=1, max_size=8, unique_by=lambda e: as_read(e[0])))
def test_any_text_survives(entries: list[tuple[str, str, str | None]]) -> None:
    """Ids and texts come back as written, line separators of other scripts and NUL included."""
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
    assert [(clip.id, clip.reference, clip.speaker) for clip in clips] == [
        (name, text, as_read(speaker or "").strip() or None) for name, text, speaker in entries
    ]


@pytest.mark.parametrize("key", ["Offset", "DURATION", " speaker", "End"])
def test_keys_in_another_case_are_not_passed_over(tmp_path: Path, key: str) -> None:
    """A part that is asked for under `Offset` is never the whole file without a word."""
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"audio_filepath": "a.wav", "text": "a", key: 0.5}) + "\n")
    with pytest.raises(InputError, match=f"m.jsonl:1: {key}: keys are in lower case: write {key.strip().lower()}"):
        Manifest(path).prepare()


# --- slices ----------------------------------------------------------------------------------------------


def test_what_is_stated_of_an_utterance_is_its_slices(write: Write) -> None:
    """Texts, numbers and booleans are stated, blanks and null are not; keys of the line count where asked for."""
    lines = (
        {"audio_filepath": "a.wav", "text": "A", "slices": {"accent": " scottish ", "noisy": True, "age": 41}},
        {"audio_filepath": "b.wav", "text": "B", "slices": {"accent": "", "noisy": None}, "gender": "f"},
        {"audio_filepath": "c.wav", "text": "C", "gender": "m", "accent": "welsh"},
    )
    data = write(*lines)
    assert [clip.slices for clip in data()] == [{"accent": "scottish", "noisy": "true", "age": "41"}, {}, {}]
    own = replace(data, slice_by=("accent", "gender"))
    assert [clip.slices for clip in own()][1:] == [{"gender": "f"}, {"gender": "m", "accent": "welsh"}]


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ("street", "slices: an object is expected, such as"),
        ({"noise": ["street"]}, "slices: noise: a text, a number, or true or false is expected, not ['street']"),
        ({"noise": "x" * 90}, "slices: at most 20 slices of 80 characters are expected"),
        ({str(n): "x" for n in range(21)}, "slices: at most 20 slices of 80 characters are expected"),
    ],
)
def test_a_slice_that_is_none_is_refused_by_its_line(write: Write, slices: object, problem: str) -> None:
    """What cannot name a slice is an error of its line."""
    with pytest.raises(InputError, match=re.escape(f"part.jsonl:1: {problem}")):
        write({"audio_filepath": "a.wav", "text": "A", "slices": slices}).prepare()


def test_a_key_that_no_line_has_is_refused(write: Write) -> None:
    """A typo in ``slice_by`` is no empty slice."""
    data = replace(write({"audio_filepath": "a.wav", "text": "A", "accent": "welsh"}), slice_by=("acent",))
    with pytest.raises(InputError, match="slice_by: no line states acent"):
        data.prepare()


def test_words_have_their_times(write: Write) -> None:
    """Times are seconds of the utterance, whatever else is said of a word; a line without any has none."""
    words = [{"word": "so", "start": 0, "end": 0.5, "probability": 0.9}, {"word": "it", "start": 0.5, "end": 0.75}]
    timed, plain = write(
        {"audio_filepath": "a.wav", "text": "so it", "words": words}, {"audio_filepath": "b.wav", "text": ""}
    )()
    assert timed.words == (WordTime("so", 0, 0.5), WordTime("it", 0.5, 0.75))
    assert plain.words == ()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["so", "it"], "a list such as"),
        ("so it", "a list such as"),
        ([{"word": "so", "start": 0.5}], "a list such as"),
        ([{"word": "so", "start": 0.5, "end": 0.25}], "'so': 0 <= start <= end is expected, not 0.5 and 0.25"),
        ([{"word": "so", "start": -1, "end": 0.25}], "'so': 0 <= start <= end is expected, not -1 and 0.25"),
        ([{"word": "so", "start": 1, "end": 2}, {"word": "it", "start": 0, "end": 1}], "'it' starts at 0 s, before"),
    ],
)
def test_word_times_that_cannot_be_are_refused(write: Write, words: object, problem: str) -> None:
    """One line with the file, the line and what a list of words looks like."""
    with pytest.raises(InputError, match=rf"part.jsonl:1: words: {re.escape(problem)}"):
        write({"audio_filepath": "a.wav", "text": "so it", "words": words}).prepare()
