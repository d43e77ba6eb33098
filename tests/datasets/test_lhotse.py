"""Cuts of Lhotse are read as `CutSet.to_file` writes them, without Lhotse; what is no recording is refused by name."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.lhotse import Lhotse
from greenbench.datasets.manifest import Manifest
from greenbench.errors import InputError, MissingError, StoreError

Write = Callable[..., Lhotse]

MONO = (
    '{"id": "s1", "start": 0.25, "duration": 0.5, "channel": 0, "supervisions": [{"id": "s1", "recording_id": "a", '
    '"start": 0.0, "duration": 0.5, "channel": 0, "text": "ONE", "language": "English", "speaker": "p1", '
    '"gender": "F", "custom": {"accent": "scottish", "snr": 12.5}}], "recording": {"id": "a", "sources": '
    '[{"type": "file", "channels": [0], "source": "wav/a.wav"}], "sampling_rate": 16000, "num_samples": 16000, '
    '"duration": 1.0, "channel_ids": [0]}, "type": "MonoCut"}'
)
"""A part of a recording, as `CutSet.to_file` of Lhotse 1.33 wrote it (its path made relative)."""

RIGHT = (
    '{"id": "s3", "start": 0.0, "duration": 1.0, "channel": 1, "supervisions": [{"id": "s3", "recording_id": "st", '
    '"start": 0, "duration": 1.0, "channel": 1, "text": "RIGHT"}], "recording": {"id": "st", "sources": '
    '[{"type": "file", "channels": [0, 1], "source": "wav/st.wav"}], "sampling_rate": 16000, "num_samples": 16000, '
    '"duration": 1.0, "channel_ids": [0, 1]}, "type": "MonoCut"}'
)
"""The second channel of a whole recording, likewise."""


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(MONO), **changes})


def recorded(**changes: Any) -> str:
    return changed(recording={**json.loads(MONO)["recording"], **changes})


def said(*supervisions: dict[str, Any]) -> str:
    (one,) = json.loads(MONO)["supervisions"]
    return changed(supervisions=[{**one, **changes} for changes in supervisions])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes lines beside two recordings of a second, one of them in stereo."""

    def write(*lines: str, name: str = "cuts_test.jsonl", **settings: Any) -> Lhotse:
        (tmp_path / "data" / "wav").mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(0).integers(-9999, 9999, (16_000, 2), dtype=np.int16)
        soundfile.write(tmp_path / "data" / "wav" / "a.wav", samples[:, 0], 16_000)
        soundfile.write(tmp_path / "data" / "wav" / "st.wav", samples, 16_000)
        content = "".join(f"{line}\n" for line in lines).encode()
        path = tmp_path / "data" / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return Lhotse(path, **settings)

    return write


@pytest.mark.parametrize("name", ["cuts_test.jsonl", "cuts_test.jsonl.gz"])
def test_cuts_are_read_as_lhotse_writes_them(write: Write, name: str) -> None:
    """Ids, texts, speakers, slices, the part and the channel are the cut's; packed or not."""
    data = write(MONO, RIGHT, name=name, slice_by=("accent", "snr"))
    part, right = data()
    assert data.label == "data/cuts_test"
    assert (part.id, part.reference, part.speaker) == ("s1", "ONE", "p1")
    assert part.slices == {"language": "English", "gender": "F", "accent": "scottish", "snr": "12.5"}
    assert (right.id, right.reference, right.speaker, right.slices) == ("s3", "RIGHT", None, {})
    stereo, _ = soundfile.read(data.path.parent / "wav" / "st.wav", dtype="float32")
    np.testing.assert_array_equal(part.read(), stereo[4000:12_000, 0])
    np.testing.assert_array_equal(right.read(), stereo[:, 1])
    assert (part.duration_s(), right.duration_s()) == (0.5, 1.0)


@pytest.mark.speech
def test_cuts_of_whole_files_are_their_manifest(speech: Path, tmp_path: Path) -> None:
    """Human speech as cuts has the data hash that it has as a manifest of these ids."""
    rows = [json.loads(line) for line in (speech / "an4" / "test.jsonl").read_text().splitlines()[:8]]
    cuts, lines = [], []
    for row in rows:
        path = speech / "an4" / row["audio_filepath"]
        info = soundfile.info(path)
        span = {"start": 0.0, "duration": info.duration, "channel": 0}
        recording = {
            "id": path.stem, "sources": [{"type": "file", "channels": [0], "source": str(path)}],
            "sampling_rate": info.samplerate, "num_samples": info.frames, "duration": info.duration, "channel_ids": [0],
        }  # fmt: skip
        words = {"id": path.stem, "recording_id": path.stem, **span, "text": row["text"], "speaker": row["speaker"]}
        cut = {"id": path.stem, **span, "supervisions": [words], "recording": recording, "type": "MonoCut"}
        cuts.append(json.dumps(cut))
        lines.append(json.dumps({**row, "audio_filepath": str(path), "id": path.stem}))
    (tmp_path / "cuts.jsonl").write_text("\n".join(cuts))
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))
    found = []
    for data in (Lhotse(tmp_path / "cuts.jsonl"), Manifest(tmp_path / "lines.jsonl")):
        corpus = Corpus(data)
        speakers = [u.speaker for chunk in corpus.chunks() for u in chunk]
        found.append((corpus.stats.data_hash, speakers))
    assert found[0] == found[1]


def test_relative_sources_start_from_the_root(write: Write) -> None:
    """Lhotse names files from its working directory: `root` says which that was."""
    source = [{"type": "file", "channels": [0], "source": "data/wav/a.wav"}]
    data = write(recorded(sources=source))
    (clip,) = Lhotse(data.path, root=data.path.parents[1])()
    assert len(clip.read()) == 8000


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (changed(type="MultiCut", channel=[0, 1]), "it has several channels: make a MonoCut of each with"),
        ('{"id": "m", "tracks": [{"cut": {}, "offset": 0}], "type": "MixedCut"}', "it is put together of sev"),
        ('{"id": "p", "duration": 1.0, "sampling_rate": 16000, "type": "PaddingCut"}', "it is silence without a recor"),
        ('{"id": "r", "sources": [], "sampling_rate": 16000}', "it is no cut: make cuts of recordings"),
        ('{"id": "r", "type": ["MonoCut"]}', "it is no cut"),
        (changed(recording=None), "recording: it has none, and features are not read"),
        *(
            (recorded(sources=[{"type": kind, "channels": [0], "source": "x"}]), f"its source is a '{kind}', not")
            for kind in ("command", "url", "memory", "shar", "shar_ptr")
        ),
        (recorded(transforms=[{"name": "Speed", "kwargs": {"factor": 1.1}}]), "it is to be changed by `transforms`"),
        (recorded(sources=[]), "recording: none of its sources has the channel 0"),
        (said({}, {"id": "s2"}), "it has 2 supervisions: make cuts of one each with `cuts.trim_to_supervisions()`"),
        (said({"start": -0.5}), "its supervision reaches beyond it: make cuts that fit with `cuts.trim_to_supervis"),
        (said({"duration": 0.75}), "its supervision reaches beyond it"),
        (said({"text": None}), "text: there is none"),
        (changed(supervisions=[]), "text: there is none"),
        (said({"text": ["ONE"]}), "supervisions.0.text: "),
        (changed(start="soon"), "start: "),
        (changed(start=-1), "offset: "),
        (changed(duration=0, supervisions=[]), "duration: "),
        (f"[{MONO}]", "cuts are JSON lines, one object a line: write them with `cuts.to_file('cuts.jsonl.gz')`"),
        (MONO[:-1], "not JSON"),
        (MONO, "the id 's1' occurs twice"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_by_its_name(write: Write, line: str, problem: str) -> None:
    """One line says which line it is, what it holds, and what to do in Lhotse."""
    data = write(MONO, "", line)
    with pytest.raises(InputError) as caught:
        list(data())
    message = str(caught.value)
    assert message.startswith(f"{data.path}:3: ")
    assert problem in message
    assert "\n" not in message


def test_a_manifest_that_is_not_there_or_breaks_off_is_one_line(write: Write, tmp_path: Path) -> None:
    """A packed file that was cut off, or is none, is named; so is one that is not there."""
    with pytest.raises(MissingError, match=r"gone\.jsonl: the manifest of cuts cannot be opened .*'path'"):
        Lhotse(tmp_path / "gone.jsonl").prepare()
    data = write(MONO, RIGHT, name="cuts.jsonl.gz")
    whole = data.path.read_bytes()
    for content in (whole[:-20], b"PK" + whole, whole[:40] + bytes(20) + whole[60:]):
        data.path.write_bytes(content)
        with pytest.raises(StoreError, match=re.escape(f"{data.path}: cannot be read: ")) as caught:
            data.prepare()
        assert "None" not in str(caught.value)


def test_speech_to_distil_from_needs_no_supervision(write: Write) -> None:
    """Cuts without any, and texts of others, are read as audio alone."""
    data = write(changed(supervisions=[]), RIGHT, transcribed=False)
    assert [(clip.id, clip.reference) for clip in data()] == [("s1", ""), ("s3", "")]


def test_the_suite_creates_it_by_its_name(write: Write, tmp_path: Path) -> None:
    """`use: lhotse` takes the manifest."""
    path = write(MONO).path
    assert registry.create("datasets", "lhotse", {"path": "data/cuts_test.jsonl"}, tmp_path) == Lhotse(path.resolve())
