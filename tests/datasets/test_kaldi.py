"""A Kaldi data folder is read without Kaldi, and its files are checked against each other."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.kaldi import Kaldi
from greenbench.datasets.librispeech import LibriSpeech
from greenbench.errors import InputError, MissingError

Write = Callable[..., Path]
TWO = {"wav.scp": "a wav/a.wav\nb wav/b.wav\n", "text": "a WHAT IS SAID\nb\n", "utt2spk": "a s1\nb s2\n"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the files of a data folder, by names, and two recordings of a second."""

    def write(files: dict[str, str]) -> Path:
        folder = tmp_path / "data" / "test"
        (folder / "wav").mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(0).integers(-9999, 9999, 16_000, dtype=np.int16)
        for name in "ab":
            soundfile.write(folder / "wav" / f"{name}.wav", samples, 16_000)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        return folder

    return write


@pytest.mark.speech
def test_a_data_folder_is_the_corpus_that_it_was_made_of(speech: Path, tmp_path: Path) -> None:
    """LibriSpeech as a data folder of Kaldi has the same ids, transcripts, speakers and data hash."""
    original = LibriSpeech(speech / "LibriSpeech", "test-other")
    clips = list(original())[:8]
    paths = {path.stem: path for path in (speech / "LibriSpeech" / "test-other").rglob("*.flac")}
    for name, value in (
        ("wav.scp", lambda clip: paths[clip.id]), ("text", lambda clip: clip.reference),
        ("utt2spk", lambda clip: clip.speaker),
    ):  # fmt: skip
        (tmp_path / name).write_text("".join(f"{clip.id} {value(clip)}\n" for clip in clips))
    found = []
    for data in (original, Kaldi(tmp_path)):
        corpus = Corpus(data, limit=8)
        speakers = [u.speaker for chunk in corpus.chunks() for u in chunk]
        found.append((corpus.stats.data_hash, speakers))
    assert found[0] == found[1]


def test_recordings_are_utterances_where_there_are_no_segments(write: Write) -> None:
    """Ids, speakers and texts are those of the files; a text may be empty."""
    data = Kaldi(write(TWO))
    assert data.label == "kaldi/test"
    assert [(clip.id, clip.reference, clip.speaker) for clip in data()] == [
        ("a", "WHAT IS SAID", "s1"),
        ("b", "", "s2"),
    ]
    assert [len(clip.read()) for clip in data()] == [16_000, 16_000]


def test_segments_are_parts_of_recordings(write: Write) -> None:
    """Start and end are in seconds; -1 is the end of the recording; the order is that of the segments."""
    folder = write({
        "wav.scp": TWO["wav.scp"], "segments": "u2 b 0.5 -1\nu1 a 0.25 0.75\n", "text": "u1 ONE\nu2\tTWO\r\n",
    })  # fmt: skip
    second, first = Kaldi(folder)()
    assert [(clip.id, clip.reference, clip.speaker) for clip in (first, second)] == [
        ("u1", "ONE", None), ("u2", "TWO", None),
    ]  # fmt: skip
    whole, _ = soundfile.read(folder / "wav" / "a.wav", dtype="float32")
    np.testing.assert_array_equal(first.read(), whole[4000:12_000])
    np.testing.assert_array_equal(second.read(), whole[8000:])
    assert (first.duration_s(), second.duration_s()) == (0.5, 0.5)


def test_the_fifth_field_of_a_segment_is_a_channel(write: Write) -> None:
    """It counts from 0, as Kaldi's does."""
    folder = write({"wav.scp": "r wav/r.wav\n", "segments": "u1 r 0 1 0\nu2 r 0 1 1\n", "text": "u1 A\nu2 B\n"})
    soundfile.write(folder / "wav" / "r.wav", np.full((16_000, 2), (0.25, 0.5)), 16_000, "FLOAT")
    assert [clip.read()[0] for clip in Kaldi(folder)()] == [0.25, 0.5]


def test_slices_are_read_from_files_of_utterances_or_speakers(write: Write) -> None:
    """`utt2KEY` goes first, then `spk2KEY`; who is not in it is in no slice."""
    folder = write({**TWO, "spk2gender": "s1 f\n", "utt2noise": "b street\n"})
    assert [clip.slices for clip in Kaldi(folder, slice_by=("gender", "noise"))()] == [
        {"gender": "f"}, {"noise": "street"},
    ]  # fmt: skip
    with pytest.raises(MissingError, match="slice_by: age is read from utt2age or spk2age, and neither is there"):
        Kaldi(folder, slice_by=("age",)).prepare()


def test_relative_paths_start_from_the_root(write: Write) -> None:
    """Kaldi's recipes name audio from their own folder: `root` says which."""
    folder = write({**TWO, "wav.scp": "a test/wav/a.wav\nb test/wav/b.wav\n"})
    assert [len(clip.read()) for clip in Kaldi(folder, root=folder.parent)()] == [16_000, 16_000]


@pytest.mark.parametrize(
    "command", ["sph2pipe -f wav -p a.sph |", "cat wav/a.wav |", "flac -c -d -s a.flac|", "| cat > x", "touch ran |"]
)
def test_a_command_is_refused_and_not_run(write: Write, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data cannot have a program started: the line is named with what to do."""
    folder = write({**TWO, "wav.scp": f"a {command}\nb wav/b.wav\n"})
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"wav\.scp:1: it is a command, and commands from data are not run: write the"):
        list(Kaldi(folder)())
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"wav.scp": "a data/wav.ark:17\nb wav/b.wav\n"}, "wav.scp:1: it is a place in an archive: write the audio"),
        ({"wav.scp": "a wav/a.wav\na wav/b.wav\n"}, "wav.scp:2: the id a is there twice; Kaldi's `utils/fix_data_dir"),
        ({"wav.scp": "a\nb wav/b.wav\n"}, "wav.scp:1: audio_filepath: "),
        ({"wav.scp": "", "text": "", "utt2spk": ""}, "test: the data folder has no utterances"),
        ({"text": "a A\n"}, "text: 1 utterances of wav.scp are missing: b; "),
        ({"text": "a A\nb B\n" + "".join(f"c{n} C\n" for n in range(5))},
         "wav.scp: 5 utterances of text are missing: c0, c1, c2 ..; "),
        ({"utt2spk": "b s1\n"}, "utt2spk: 1 utterances of wav.scp are missing: a; "),
        ({"segments": "a x 0 1\nb b 0 1\n"}, "segments:1: the recording x is not in "),
        ({"segments": "a a 0 1\n"}, "segments: 1 utterances of text are missing: b; "),
        ({"segments": "a a 0\nb b 0 1\n"}, "segments:1: `utterance recording start end [channel]` is expected"),
        ({"segments": "a a 0 one\nb b 0 1\n"}, "segments:1: `utterance recording start end [channel]` is expected"),
        ({"segments": "a a 0.5 0.5\nb b 0 1\n"}, "segments:1: it ends at 0.5 s, and does not start before that"),
        ({"segments": "a a nan 0.5\nb b 0 1\n"}, "segments:1: it ends at 0.5 s, and does not start before that"),
        ({"segments": "a a -1 0.5\nb b 0 1\n"}, "segments:1: offset: "),
        ({"segments": "a a 0 0.5 left\nb b 0 1\n"}, "segments:1: `utterance recording start end [channel]` is exp"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_one_line(write: Write, files: dict[str, str], problem: str) -> None:
    """A malformed line is named by its number; ids that a file lacks are counted, and the first are named."""
    folder = write({**TWO, **files})
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        Kaldi(folder).prepare()
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(write: Write, tmp_path: Path) -> None:
    """A folder or a file of it that is not there is one line; speech to distil from needs no `text`."""
    with pytest.raises(MissingError, match=r"none: there is no such folder\. Set 'path' to a folder with `wav\.scp`"):
        Kaldi(tmp_path / "none").prepare()
    folder = write({"wav.scp": TWO["wav.scp"]})
    with pytest.raises(MissingError, match=r"test/text: .* cannot be opened .*`transcribed: false` needs no `text`"):
        Kaldi(folder).prepare()
    assert [clip.reference for clip in Kaldi(folder, transcribed=False)()] == ["", ""]


def test_the_suite_creates_it_by_its_name(write: Write) -> None:
    """`use: kaldi` takes the folder."""
    folder = write(TWO)
    assert registry.create("datasets", "kaldi", {"path": "data/test"}, folder.parents[1]) == Kaldi(folder.resolve())
