"""Data sets of the Hugging Face hub, or of its library in a folder; the audio is decoded here, from bytes or files."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from greenbench import extras
from greenbench.datasets.audio import audio_digest, read_audio, read_duration_s
from greenbench.datasets.rows import ListedRow, checked_row, refuse_twice, speaker_of
from greenbench.errors import BadAudioError, InputError, MissingError
from greenbench.plugins import Clip, ModelRef

Result = TypeVar("Result")


@dataclass(frozen=True)
class HuggingFace:
    """One split of a data set of the Hugging Face hub, or of one that the library ``datasets`` wrote to a folder.

    Attributes:
        path: the name on the hub (``owner/name``), or a folder: of parquet files, or as ``save_to_disk`` writes it.
        config: which of the data set's configurations, as the hub calls them, is read.
        split: which split is read.
        audio: the column with the audio.
        text: the column with the transcripts.
        speaker: the column with the speakers; they are unknown without it.
        id: the column with the ids; by default ``id`` where there is such a column, else rows are numbered.
        revision: commit or tag of the hub's repository.
        streaming: read rows from the hub in each pass, rather than download the split once.
        transcribed: whether there are transcripts; false for speech to distil from, whose texts are ignored.
        slice_by: further columns that are slices, such as ``accent``.
    """

    path: ModelRef
    config: str | None = None
    split: str = "test"
    audio: str = "audio"
    text: str = "text"
    speaker: str | None = None
    id: str | None = None
    revision: str | None = None
    streaming: bool = False
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``<name>/<config>/<split>``."""
        name = Path(self.path).name
        return "/".join(part for part in (name, self.config, self.split) if part)

    def to_fetch(self) -> str | None:
        """Say what would be downloaded.

        Raises:
            MissingError: the library is not installed.
        """
        extras.need("datasets")
        if Path(self.path).exists() or _is_cached(self.path):
            return None
        return f"{self.label} from the Hugging Face hub ({self.path})"

    def prepare(self) -> None:
        """Open the data set, downloading it if necessary, and check its rows; of streamed ones the first.

        Raises:
            MissingError: the library is not installed, or the data set cannot be opened.
            InputError: a column is not there, or a row is malformed; ``data set, row: problem``.
        """
        found = next(self._rows(), None) if self.streaming else deque(self._rows(), maxlen=1)
        if not found:
            raise InputError(f"{self.label}: the split has no rows")

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the rows.

        Raises:
            MissingError: as ``prepare``; nothing is yielded.
            InputError: as ``prepare``, or an id occurs twice.
        """
        self.prepare()
        seen = set[str]()
        for where, row, get in self._rows():
            refuse_twice(where, name := str(row.id), seen)
            read, duration_s = partial(_used, where, get, read_audio), partial(_used, where, get, read_duration_s)
            digest = partial(_used, where, get, audio_digest)
            text = (row.text or "") if self.transcribed else ""
            yield Clip(name, read, text, speaker_of(row), duration_s, digest, row.slices)

    def _rows(self) -> Iterator[tuple[str, ListedRow, Callable[[], Any]]]:
        """Yield where each row stands, what it states, and what gives its audio as it is stored."""
        data = _opened(self)
        names = list(data.column_names or next(iter(data), {}))
        keys = {"text": self.text if self.transcribed else None, "speaker": self.speaker}
        keys["id"] = self.id or ("id" if "id" in names else None)
        columns = {key: column for key, column in keys.items() if column}
        needed = list(dict.fromkeys([*columns.values(), *self.slice_by]))
        self._check(names, [self.audio, *needed])
        for number, example in enumerate(data if self.streaming else _without_audio(data, needed)):
            where = f"{self.label}, row {number}"
            stated = {key: example[column] for key, column in columns.items()}
            slices = {key: example[key] for key in self.slice_by}
            content = {**stated, "audio_filepath": self.audio, "slices": slices}
            content["id"] = f"{number:06d}" if stated.get("id") is None else stated["id"]
            get = partial(_cell, example if self.streaming else data, None if self.streaming else number, self.audio)
            yield where, checked_row(where, content, self.transcribed, self.slice_by), get

    def _check(self, names: Sequence[str], needed: Sequence[str]) -> None:
        missing = next((name for name in needed if names and name not in names), None)
        if missing is not None:
            settings = {self.audio: "audio", self.text: "text", self.speaker: "speaker", self.id: "id"}
            there = ", ".join(names)
            setting = settings.get(missing, "slice_by")
            raise InputError(
                f"{self.label}: there is no column {missing!r}: set `{setting}`; the columns are {there:.300}"
            )


# --- the library -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _opened(split: HuggingFace) -> Any:
    """Return a split as the library has it, its audio as it is stored.

    Raises:
        MissingError: the library is not installed, or there is no such data set, configuration or split.
    """
    extras.need("datasets")
    import datasets

    datasets.disable_progress_bars()
    place = Path(split.path)
    try:
        if (place / "dataset_dict.json").is_file():
            data = datasets.load_from_disk(place / split.split)
        elif (place / "state.json").is_file():
            data = datasets.load_from_disk(place)
        else:
            data = datasets.load_dataset(
                split.path, split.config, split=split.split, streaming=split.streaming, revision=split.revision
            )
    except Exception as error:  # of the hub's client, of readers, of the network: whatever it is, the data is not here
        cause = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingError(
            f"{split.label}: it cannot be opened ({cause:.200}). Set 'path' to a folder or a name on the hub, and "
            "'config' and 'split' to some that it has; without a network, to a folder that is here."
        ) from error
    is_audio = isinstance((data.features or {}).get(split.audio), datasets.Audio)
    return data.cast_column(split.audio, datasets.Audio(decode=False)) if is_audio else data


def _is_cached(name: str) -> bool:
    from datasets import config

    return Path(config.HF_DATASETS_CACHE, name.replace("/", "___")).is_dir()


def _without_audio(data: Any, columns: list[str]) -> Iterable[Mapping[str, Any]]:
    return data.select_columns(columns) if columns else ({} for _ in range(len(data)))


# --- audio -----------------------------------------------------------------------------------------------


def _cell(data: Any, number: int | None, column: str) -> Any:
    row = data if number is None else data[number]
    return row[column]


def _used(where: str, get: Callable[[], Any], act: Callable[[Path], Result]) -> Result:
    """Do something with a row's audio, as a file.

    Raises:
        BadAudioError: of a file, or the row has none; it names the row.
    """
    stored = get()
    stored = {"path": stored} if isinstance(stored, str) else stored
    content, path = (stored.get("bytes"), stored.get("path")) if isinstance(stored, Mapping) else (None, None)
    if content is None and path is not None:
        return act(Path(path))
    if content is None:
        raise BadAudioError(f"{where}: bad audio: there is none; bytes or a path are expected")
    with tempfile.TemporaryDirectory(prefix="greenbench-audio-") as folder:
        aside = Path(folder, Path(path or "audio").name)
        aside.write_bytes(content)
        try:
            return act(aside)
        except BadAudioError as error:
            raise BadAudioError(str(error).replace(str(aside), f"{where} ({aside.name})")) from error
