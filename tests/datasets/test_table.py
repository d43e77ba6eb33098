"""A table is read as a manifest of its columns: CSV or TSV, each fault named by its line."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.manifest import Manifest
from greenbench.datasets.table import Table
from greenbench.errors import BadAudioError, InputError, MissingError

Write = Callable[..., Table]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the lines of a table and returns the data set."""

    def write(*lines: str, name: str = "part.csv", **settings: object) -> Table:
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return Table(path, **settings)

    return write


@pytest.mark.speech
def test_a_table_is_the_manifest_of_its_columns(speech: Path, tmp_path: Path) -> None:
    """The same speech as JSON lines, CSV and TSV has the same utterances, speakers and data hash."""
    lines = (speech / "an4" / "test.jsonl").read_text().splitlines()[:12]
    rows = [{**json.loads(line), "audio_filepath": ""} for line in lines]
    for row, line in zip(rows, lines, strict=True):
        row["audio_filepath"] = str(speech / "an4" / json.loads(line)["audio_filepath"])
    (tmp_path / "part.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with (tmp_path / f"part{suffix}").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    found = []
    for data in (Manifest(tmp_path / "part.jsonl"), Table(tmp_path / "part.csv"), Table(tmp_path / "part.tsv")):
        corpus = Corpus(data)
        speakers = [u.speaker for chunk in corpus.chunks() for u in chunk]
        found.append((corpus.stats.data_hash, speakers, corpus.stats.n_utterances))
    assert found[0] == found[1] == found[2]
    assert found[0][2] == 12


def test_columns_are_named_by_settings(write: Write) -> None:
    """Any column is the audio, the text or the speaker; a column of the key's own name is then another one."""
    data = write(
        "path,sentence,text,who,id,accent", "clips/a.wav,SAID,x,s1,one,scottish", "clips/b.wav,,y,,two,",
        audio="path", text="sentence", speaker="who", slice_by=("accent",),
    )  # fmt: skip
    assert [(clip.id, clip.reference, clip.speaker, clip.slices) for clip in data()] == [
        ("one", "SAID", "s1", {"accent": "scottish"}), ("two", "", None, {}),
    ]  # fmt: skip
    assert data.label == "set/part"


def test_a_column_of_parts_is_read_in_seconds(write: Write) -> None:
    """Offset and duration are numbers; blank cells state no part."""
    data = write("audio_filepath,text,offset,duration", "a.wav,A,0.25,0.5", "a.wav,B,,")
    samples = np.random.default_rng(0).integers(-9999, 9999, 16_000, dtype=np.int16)
    soundfile.write(data.path.parent / "a.wav", samples, 16_000)
    first, whole = data()
    assert (first.id, whole.id) == ("a@0.250-0.750", "a")
    np.testing.assert_array_equal(first.read() * 32768, samples[4000:12_000])
    assert whole.duration_s() == 1.0


def test_quoted_fields_hold_delimiters_quotes_and_lines(write: Write) -> None:
    """A field of CSV in double quotes is one text, and the row after it has its own line number."""
    data = write('text,audio_filepath', '"one, ""two""', 'three",a.wav', '"x"y,b.wav')  # fmt: skip
    with pytest.raises(InputError, match=re.escape(f"{data.path}:4: it is no row of a table")):
        data.prepare()
    data = write('text,audio_filepath', '"one, ""two""', 'three",a.wav', "", "x,b.wav")  # fmt: skip
    assert [clip.reference for clip in data()] == ['one, "two"\nthree', "x"]


def test_quotes_of_a_tsv_are_letters(write: Write) -> None:
    """A text of TSV that begins with a quote swallows nothing; `quoted` reads fields in quotes there, too."""
    lines = ('text\taudio_filepath', '"Stop!\ta.wav', '"He said ""no"""\tb.wav')  # fmt: skip
    data = write(*lines, name="part.tsv")
    assert [clip.reference for clip in data()] == ['"Stop!', '"He said ""no"""']
    data = write(lines[0], lines[2], name="part.tsv", quoted=True)
    assert [clip.reference for clip in data()] == ['He said "no"']


def test_another_delimiter_is_a_setting(write: Write) -> None:
    """A semicolon, as spreadsheets of many countries write it, is named; any suffix will do then."""
    data = write("audio_filepath;text", "a.wav;A, B")
    with pytest.raises(InputError, match=r"part.csv:1: there is no column 'audio_filepath': set `audio`, or `delimit"):
        data.prepare()
    assert [clip.reference for clip in replace(data, delimiter=";")()] == ["A, B"]
    with pytest.raises(InputError, match=r"part.txt: a table ends in .csv or .tsv; set `delimiter`"):
        write("audio_filepath;text", name="part.txt").prepare()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("b.wav,B", "the row has 2 fields, the header 4: put fields that have a delimiter in double quotes"),
        ("b.wav,B,,,7", "the row has 5 fields, the header 4"),
        ('"b.wav,B,,', "it is no row of a table (unexpected end of data): double a quote within a field"),
        (",B,,", "audio_filepath: "),
        ("https://example.org/b.wav,B,,", "is an address, not a file: download it"),
        ("b.wav,B,half,", "offset: "),
        ("b.wav,B,-1,", "offset: "),
        ("b.wav,B,nan,", "offset: "),
        ("b.wav,B,,1.5", "start: says which part is meant: write it as `offset` and `duration`, in seconds"),
        ("a.wav,B,,", "the id 'a' occurs twice"),
        ("<!DOCTYPE html>", "a web page, as a download that failed leaves it"),
        ("version https://git-lfs.github.com/spec/v1", "a git-lfs pointer, not the file: run `git lfs pull`"),
        ("b.wav," + "B" * 2**21 + ",,", "the line is longer than 2 MB"),
    ],
)
def test_a_malformed_row_is_one_line_with_its_number(write: Write, line: str, problem: str) -> None:
    """A bad row gives one ``file:line: problem``; blank lines count but do not matter."""
    data = write("audio_filepath,text,offset,start", "a.wav,A,,0", "", line)
    with pytest.raises(InputError) as caught:
        list(data())
    message = str(caught.value)
    assert message.startswith(f"{data.path}:4: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("header", "settings", "problem"),
    [
        ("path,text", {}, "there is no column 'audio_filepath': set `audio`; the columns are path, text"),
        ("audio_filepath,sentence", {}, "there is no column 'text': set `text`; the columns are audio_filepath, sen"),
        ("audio_filepath,text", {"speaker": "who"}, "there is no column 'who': set `speaker`"),
        ("audio_filepath,text,text", {}, "the column 'text' is there twice"),
        ("audio_filepath,text,Offset", {}, None),
    ],
)
def test_a_header_is_checked(write: Write, header: str, settings: dict[str, str], problem: str | None) -> None:
    """A column that is not there is named with the setting that names another; keys in another case are refused."""
    data = write(header, "a.wav,A" + ",1" * (header.count(",") - 1), **settings)
    where, said = (":1: ", problem) if problem else (":2: ", "Offset: keys are in lower case: write offset")
    with pytest.raises(InputError, match=re.escape(f"part.csv{where}{said}")):
        data.prepare()


@pytest.mark.parametrize(("encoding", "is_read"), [("utf-8-sig", True), ("utf-16", False), ("latin-1", False)])
def test_encodings_are_read_or_named(write: Write, encoding: str, is_read: bool) -> None:
    """A byte order mark is no part of the first column; another encoding is one line."""
    data = write()
    data.path.write_bytes("audio_filepath,text\r\na.wav,caf\u00e9\r\n".encode(encoding))
    if is_read:
        assert [(clip.id, clip.reference) for clip in data()] == [("a", "caf\u00e9")]
        return
    with pytest.raises(InputError, match=r"part.csv:[12]: (it looks like UTF-16|not UTF-8).*: save the file as UTF-8"):
        data.prepare()


def test_names_of_columns_are_read_however_they_are_stored(write: Write) -> None:
    """Blanks around a name, and how its letters are stored, make no other column."""
    data = write("audio_filepath, re\u0301cit ", "a.wav,A", text="r\u00e9cit")
    assert [clip.reference for clip in data()] == ["A"]


@pytest.mark.parametrize("lines", [(), ("",), ("audio_filepath,text",)])
def test_a_table_without_rows_is_refused(write: Write, lines: tuple[str, ...]) -> None:
    """A header alone is no corpus of 0 utterances."""
    with pytest.raises(InputError, match=r"part\.csv: the table has no rows"):
        write(*lines).prepare()


def test_a_table_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """The path and the setting are named."""
    with pytest.raises(MissingError, match=r"gone\.csv: the table cannot be opened \(No such.*'path'"):
        Table(tmp_path / "gone.csv").prepare()


def test_speech_to_distil_from_needs_no_column_of_texts(write: Write) -> None:
    """Texts are ignored, whether there are any or not."""
    for header, row in (("audio_filepath", "a.wav"), ("audio_filepath,text", "a.wav,A")):
        assert [clip.reference for clip in write(header, row, transcribed=False)()] == [""]


def test_bad_audio_is_skipped_and_counted(write: Write) -> None:
    """What is missing is counted under `on_bad_audio: skip`, and named otherwise."""
    data = write("audio_filepath,text", "a.wav,A", "b.wav,B", "c.wav,C")
    soundfile.write(data.path.parent / "a.wav", np.full(1600, 0.1), 16_000)
    with pytest.raises(BadAudioError, match=r"b\.wav: bad audio.*; 1 more files are missing: .*c\.wav"):
        Corpus(data).check(2)
    corpus = Corpus(data, on_bad_audio="skip")
    list(corpus.chunks())
    assert (corpus.stats.n_utterances, len(corpus.stats.skipped)) == (1, 2)


def test_the_suite_creates_it_by_its_name(write: Write, tmp_path: Path) -> None:
    """`use: csv` with columns is this data set, its path tried beside the suite."""
    path = write("path,text", "a.wav,A").path
    data = registry.create("datasets", "csv", {"path": "set/part.csv", "audio": "path"}, tmp_path)
    assert data == Table(path.resolve(), audio="path")
