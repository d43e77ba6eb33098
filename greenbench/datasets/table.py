"""A table: any corpus as CSV or TSV with a header line, a row for each utterance."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from greenbench.datasets.lines import texts
from greenbench.datasets.rows import FOREIGN, Listed
from greenbench.errors import InputError
from greenbench.plugins import SuitePath
from greenbench.text.characters import as_read

Delimiter = Literal[",", ";", "|", "\t"]

_NOT_READ = ("slices", "words")
"""Keys of a manifest whose values are no cells of a table."""

_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("offset", "duration", *FOREIGN), float),
    "channel": int,
}
"""Key -> what makes a cell the number that is expected."""


class TableForm(NamedTuple):
    """How a table is written: what is between its columns, and whether a field may be in double quotes."""

    delimiter: str
    quoted: bool


TSV = TableForm("\t", quoted=False)
"""Tabs between columns, and quotes are part of the texts."""


@dataclass(frozen=True)
class Table(Listed):
    """The utterances that a table lists: CSV or TSV with a header line.

    Attributes:
        path: the file, ``.csv`` or ``.tsv``. Its columns are read as the keys of a manifest: ``audio_filepath``
            (relative to the file), ``text``, and where they are there ``speaker``, ``offset``, ``duration``,
            ``channel`` and ``id``.
        audio: the column with the paths, where it has another name.
        text: the column with the transcripts, likewise.
        speaker: the column with the speakers, likewise; they are unknown where there is none.
        delimiter: what is between columns; by default a comma in ``.csv`` and a tab in ``.tsv``.
        quoted: whether a field may be in double quotes; by default in ``.csv``, and not in ``.tsv``.
        transcribed: whether there are transcripts; false for speech to distil from, whose texts are ignored.
        slice_by: further columns that are slices, such as ``accent``.
    """

    path: SuitePath
    audio: str = "audio_filepath"
    text: str = "text"
    speaker: str = "speaker"
    delimiter: Delimiter | None = None
    quoted: bool | None = None
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()
    WHAT: ClassVar[str] = "the table"
    REMEDY: ClassVar[str] = "Set 'path' to a CSV or TSV file, relative to the suite file or the working directory."
    EMPTY: ClassVar[str] = "the table has no rows; write a line with the names of the columns, then one an utterance"

    @property
    def label(self) -> str:
        """The file's folder and stem, e.g. ``calls/test``."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.stem}"

    @property
    def base(self) -> Path:
        """The file."""
        return self.path

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what each row states with where it stands.

        Raises:
            InputError: a column is not there, or a row has another number of fields; ``file:line: problem``.
        """
        needed = {self.audio: "audio", **({self.text: "text"} if self.transcribed else {})}
        given = {self.speaker: "speaker"} if self.speaker != "speaker" else {}
        names = {self.audio: "audio_filepath", self.text: "text", self.speaker: "speaker"}
        for where, fields in records(self.path, self._form(), {**needed, **given}):
            yield where, _stated(fields, names)

    def _form(self) -> TableForm:
        suffix = self.path.suffix.lower()
        if self.delimiter is None and suffix not in {".csv", ".tsv"}:
            raise InputError(f"{self.path}: a table ends in .csv or .tsv; set `delimiter` for one that does not")
        delimiter = self.delimiter or ("\t" if suffix == ".tsv" else ",")
        return TableForm(delimiter, suffix != ".tsv" if self.quoted is None else self.quoted)


def _stated(fields: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a row states by the keys of a manifest; a blank cell states nothing, but a blank text is one.

    Args:
        fields: column -> cell.
        names: column -> the key that it is read as.
    """
    others = {name: text for name, text in fields.items() if name not in names and name not in _NOT_READ}
    named = {key: fields[name] for name, key in names.items() if name in fields}
    stated = {**others, **named}
    return {key: _cell(key, text) for key, text in stated.items() if text.strip() or key in ("audio_filepath", "text")}


def _cell(key: str, text: str) -> Any:
    """Return a cell as the key's value: a text, or a number where one is expected and it is one."""
    if key == "text":
        return text
    try:
        return _NUMBERS.get(key, str.strip)(text)
    except ValueError:
        return text.strip()


# --- reading ---------------------------------------------------------------------------------------------


def records(path: Path, form: TableForm, needed: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the cells of each row of a table by their columns, with where it stands.

    Args:
        path: a table with a header line.
        form: how it is written.
        needed: column that must be there -> the setting that names it.

    Raises:
        InputError: a column is not there or is there twice, or a row has another number of fields.
        StoreError: the file cannot be read, or is larger than ``Limits`` allow.
    """
    header = list[str]()
    for where, fields in _fields(path, form):
        if not header:
            header = _header(fields, where, form, needed)
        elif len(fields) == len(header):
            yield where, dict(zip(header, fields, strict=True))
        else:
            raise InputError(f"{where}: {_other_count(len(fields), len(header), form)}")


def _fields(path: Path, form: TableForm) -> Iterator[tuple[str, list[str]]]:
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE
    reader = csv.reader((text for _, text in texts(path)), delimiter=form.delimiter, quoting=quoting, strict=True)
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{where}: {_why(error, form)}") from error
        if fields is None:
            return
        if len(fields) > 1 or (fields and fields[0].strip()):
            yield where, fields


def _why(error: csv.Error, form: TableForm) -> str:
    remedy = "double a quote within a field, or set `quoted: false` where quotes are letters of the texts"
    return f"it is no row of a table ({error})" + (f": {remedy}" if form.quoted else "")


def _other_count(n_fields: int, n_columns: int, form: TableForm) -> str:
    remedy = "put fields that have a delimiter in double quotes" if form.quoted else (
        "set `quoted: true` where fields are in double quotes"
    )  # fmt: skip
    return f"the row has {n_fields} fields, the header {n_columns}: {remedy}"


def _header(fields: Sequence[str], where: str, form: TableForm, needed: Mapping[str, str]) -> list[str]:
    """Return the names of the columns, as they are read."""
    header = [as_read(name).strip() for name in fields]
    there = f"the columns are {', '.join(header)}"
    for name, setting in needed.items():
        if header.count(name) > 1:
            raise InputError(f"{where}: the column {name!r} is there twice; {there}")
        if name not in header:
            other = f", or `delimiter`, which is {form.delimiter!r}" if len(header) == 1 else ""
            raise InputError(f"{where}: there is no column {name!r}: set `{setting}`{other}; {there:.300}")
    return header
