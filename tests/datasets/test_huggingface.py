"""Data sets of the library `datasets` are read from folders that it wrote; it decodes nothing, and no hub is asked."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.huggingface import HuggingFace
from greenbench.datasets.manifest import Manifest
from greenbench.datasets.openasr import OpenAsr
from greenbench.errors import BadAudioError, InputError, MissingError

library = pytest.importorskip("datasets", reason="the library `datasets` is not installed")


def wav(n_samples: int) -> bytes:
    samples = np.random.default_rng(n_samples).integers(-9999, 9999, n_samples, dtype=np.int16)
    soundfile.write(content := io.BytesIO(), samples, 16_000, format="WAV")
    return content.getvalue()


COLUMNS: dict[str, list[Any]] = {
    "audio": [{"bytes": wav(1600 * n), "path": f"u{n}.wav"} for n in (1, 2, 3)],
    "text": ["ONE", "TWO", "THREE"], "who": ["s1", "s1", "s2"], "id": ["a", "b", "c"], "age": [30, None, 41],
}  # fmt: skip


def made(**changes: Any) -> Any:
    columns = {name: column for name, column in {**COLUMNS, **changes}.items() if column is not None}
    return library.Dataset.from_dict(columns).cast_column("audio", library.Audio(decode=False))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in the user's cache, nor found there."""
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def in_parquet(folder: Path) -> HuggingFace:
    (folder / "data").mkdir(parents=True)
    made().to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    return HuggingFace(str(folder), speaker="who", slice_by=("age",))


def saved(folder: Path) -> HuggingFace:
    made().save_to_disk(folder)
    return HuggingFace(str(folder), speaker="who", slice_by=("age",))


def saved_in_splits(folder: Path) -> HuggingFace:
    library.DatasetDict({"test": made(), "train": made(text=["X"] * 3)}).save_to_disk(folder)
    return HuggingFace(str(folder), speaker="who", slice_by=("age",))


def streamed(folder: Path) -> HuggingFace:
    in_parquet(folder)
    return HuggingFace(str(folder), speaker="who", slice_by=("age",), streaming=True)


@pytest.mark.parametrize("form", [in_parquet, saved, saved_in_splits, streamed])
def test_each_form_is_the_same_speech(form: Any, tmp_path: Path) -> None:
    """Parquet files, saved folders and streams have the utterances and the data hash of the files that they hold."""
    data = form(tmp_path / "set")
    assert data.to_fetch() is None
    assert data.label == "set/test"
    assert [(clip.id, clip.reference, clip.speaker, dict(clip.slices)) for clip in data()] == [
        ("a", "ONE", "s1", {"age": "30"}), ("b", "TWO", "s1", {}), ("c", "THREE", "s2", {"age": "41"}),
    ]  # fmt: skip
    assert [clip.duration_s() for clip in data()] == pytest.approx([0.1, 0.2, 0.3])
    for cell in COLUMNS["audio"]:
        (tmp_path / cell["path"]).write_bytes(cell["bytes"])
    lines = [f'{{"audio_filepath": "u{n}.wav", "text": "{t}", "id": "{i}"}}'
             for n, t, i in zip((1, 2, 3), COLUMNS["text"], COLUMNS["id"], strict=True)]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    hashes = set()
    for source in (data, Manifest(tmp_path / "m.jsonl")):
        corpus = Corpus(source)
        list(corpus.chunks())
        hashes.add(corpus.stats.data_hash)
    assert len(hashes) == 1


def test_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    """Where there is no column `id`, and none is named, the number of the row is the id."""
    made(id=None).save_to_disk(tmp_path / "set")
    assert [clip.id for clip in HuggingFace(str(tmp_path / "set"))()] == ["000000", "000001", "000002"]
    assert [clip.id for clip in HuggingFace(str(tmp_path / "set"), id="text")()] == ["ONE", "TWO", "THREE"]


def test_audio_may_be_paths_of_files(tmp_path: Path) -> None:
    """A column of paths, or cells with a path alone, are read from these files."""
    (tmp_path / "a.wav").write_bytes(wav(1600))
    path = str(tmp_path / "a.wav")
    plain = library.Dataset.from_dict({"audio": [path], "text": ["A"]})
    cells = library.Dataset.from_dict({"audio": [{"bytes": None, "path": path}], "text": ["A"]})
    for name, data in (("plain", plain), ("cells", cells)):
        data.save_to_disk(tmp_path / name)
        (clip,) = HuggingFace(str(tmp_path / name))()
        assert len(clip.read()) == 1600


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"text": "sentence"}, "set/test: there is no column 'sentence': set `text`; the columns are audio, text, who"),
        ({"audio": "speech"}, "there is no column 'speech': set `audio`"),
        ({"speaker": "speaker"}, "there is no column 'speaker': set `speaker`"),
        ({"slice_by": ("accent",)}, "there is no column 'accent': set `slice_by`"),
        ({"id": "who"}, "set/test, row 1: the id 's1' occurs twice"),
        ({"text": "age"}, "set/test, row 0: text: a text is expected, not 30"),
    ],
)
def test_a_column_that_does_not_fit_is_one_line(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    """The columns that there are, or the row, are named."""
    made().save_to_disk(tmp_path / "set")
    with pytest.raises(InputError) as caught:
        list(HuggingFace(str(tmp_path / "set"), **settings)())
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_audio_is_named_by_its_row(tmp_path: Path) -> None:
    """No folder of ours is in the message; a cell without audio is bad audio, too, and can be skipped."""
    good, none = {"bytes": wav(1600), "path": "u0.wav"}, {"bytes": None, "path": None}
    cells = [good, {"bytes": b"no audio", "path": "u1.wav"}, none]
    library.Dataset.from_dict({"audio": cells, "text": ["A", "B", "C"]}).save_to_disk(tmp_path / "set")
    data = HuggingFace(str(tmp_path / "set"))
    _, broken, absent = data()
    with pytest.raises(BadAudioError, match=r"^set/test, row 1 \(u1\.wav\): bad audio: it cannot be decoded"):
        broken.read()
    with pytest.raises(BadAudioError, match=r"^set/test, row 2: bad audio: there is none"):
        absent.read()
    corpus = Corpus(data, on_bad_audio="skip")
    list(corpus.chunks())
    assert (corpus.stats.n_utterances, len(corpus.stats.skipped)) == (1, 2)


def test_what_cannot_be_opened_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no such folder, configuration or split: the cause in the library's words, and what to set."""
    in_parquet(tmp_path / "set")

    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\n  and more lines")

    for data in (
        HuggingFace(str(tmp_path / "set"), split="tset"), HuggingFace(str(tmp_path / "set"), config="nope"),
        HuggingFace(str(tmp_path / "none")),
    ):  # fmt: skip
        with pytest.raises(MissingError, match=r"^\w+/[\w/]+: it cannot be opened \(.*\)\. Set 'path' to a folder"):
            data.prepare()
    monkeypatch.setattr(library, "load_dataset", unreachable)
    data = HuggingFace("owner/name")
    assert data.to_fetch() == "name/test from the Hugging Face hub (owner/name)"
    with pytest.raises(
        MissingError, match=r"^name/test: it cannot be opened \(Couldn't reach 'owner/name' on the Hub\)"
    ):
        data.prepare()


def test_speech_to_distil_from_needs_no_column_of_texts(tmp_path: Path) -> None:
    """Texts are ignored, whether there are any or not."""
    made(text=None).save_to_disk(tmp_path / "set")
    assert [clip.reference for clip in HuggingFace(str(tmp_path / "set"), transcribed=False)()] == [""] * 3


def test_a_set_of_the_leaderboard_is_what_it_scores(tmp_path: Path) -> None:
    """Configuration and split are found by the name, in a copy of the repository; what is not scored is left out."""
    texts = ["one", "ignore_time_segment_in_scoring", "(noise)"]
    (tmp_path / "copy" / "librispeech").mkdir(parents=True)
    made(text=texts, who=None, age=None).to_parquet(tmp_path / "copy" / "librispeech" / "other.parquet")
    (tmp_path / "copy" / "README.md").write_text(
        "---\nconfigs:\n- config_name: librispeech\n  data_files:\n"
        "  - {split: test.other, path: librispeech/other.parquet}\n---\n"
    )
    data = OpenAsr("librispeech.other", path=str(tmp_path / "copy"))
    data.prepare()
    assert (data.label, data.to_fetch()) == ("open-asr/librispeech.other", None)
    assert [(clip.id, clip.reference) for clip in data()] == [("a", "one")]


def test_the_suite_creates_them_by_their_names(tmp_path: Path) -> None:
    """`use: hf` takes a folder beside the suite or a name, `use: open-asr` a set."""
    (tmp_path / "set").mkdir()
    made_of = registry.create("datasets", "hf", {"path": "set", "split": "dev"}, tmp_path)
    assert made_of == HuggingFace(str((tmp_path / "set").resolve()), split="dev")
    assert registry.create("datasets", "open-asr", {"subset": "ami"}).path == "hf-audio/open-asr-leaderboard"
