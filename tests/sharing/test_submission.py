"""Entries: what is packed is whole and the same each time, and every kind of tampering is refused by its name."""

import json
import os
import random
import stat
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError
from greenbench.files import readback
from greenbench.files.limits import Limits
from greenbench.results import store
from greenbench.sharing.entry import FORMAT, MANIFEST, digest
from greenbench.sharing.submission import check, pack
from greenbench.text import scorers

CELL: dict[str, Any] = {"variant": "a", "n_wrong": 2,
                        "rounds": [{"wall_s": 1.0 + i / 100, "energy_cpu_j": 9.0} for i in range(3)]}  # fmt: skip

Files = dict[str, bytes]


@pytest.fixture
def entry(sound_run: Callable[..., Path], tmp_path: Path) -> Path:
    """A packed entry of one run of two variants."""
    run = sound_run("r1", CELL, CELL | {"variant": "b", "n_wrong": 0})
    return pack([run], tmp_path / "entry.zip").path


def read(entry: Path) -> Files:
    with zipfile.ZipFile(entry) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(entry: Path, files: Files, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write the files with a manifest that fits, as who tampers with an entry would."""
    import hashlib

    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST}
    manifest = {"format": FORMAT, "digest": digest(hashes), "files": hashes}
    with zipfile.ZipFile(entry, "w", compression) as archive:
        for name, data in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
    return entry


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def joined(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def told(entry: Path, tmp_path: Path) -> str:
    return "\n".join(f"{problem.where}: {problem.what}" for problem in check(entry, tmp_path / "unpacked"))


def test_an_entry_is_accepted_and_is_the_same_each_time(
    entry: Path, sound_run: Callable[..., Path], tmp_path: Path
) -> None:
    """What was packed passes the check; the same runs give the same bytes, whoever packs them and when."""
    assert check(entry, tmp_path / "unpacked") == []
    again = pack([tmp_path / "results"], tmp_path / "again.zip")
    assert again.path.read_bytes() == entry.read_bytes()
    assert again.digest == json.loads(read(entry)[MANIFEST])["digest"]


def test_a_real_run_can_be_packed(whole_run: Path, tmp_path: Path) -> None:
    """What `run` writes is an entry without more ado, traces and scores included, and names no path."""
    packed = pack([whole_run], tmp_path / "entry.zip")
    assert check(packed.path, tmp_path / "unpacked") == []
    content = read(packed.path)
    files = [
        "run.json",
        *(f"{name}.jsonl" for name in ("records", "scores", "hypotheses", "windows", "power", "control")),
    ]
    assert {name.rpartition("/")[2] for name in content} == {MANIFEST, *files}
    assert not any(b"/tmp" in data for data in content.values())


TAMPERINGS: dict[str, tuple[Callable[[Files], Any], str]] = {}


def tampering(expected: str) -> Callable[[Callable[[Files], Any]], Callable[[Files], Any]]:
    def keep(change: Callable[[Files], Any]) -> Callable[[Files], Any]:
        TAMPERINGS[change.__name__] = (change, expected)
        return change

    return keep


def rows_changed(files: Files, change: Callable[[list[dict[str, Any]]], Any], file: str = store.RECORDS) -> None:
    rows = lines(files[f"r1/{file}"])
    change(rows)
    files[f"r1/{file}"] = joined(rows)


@tampering("counted again")
def changed_counts(files: Files) -> None:
    """Fewer errors than the texts hold, with rates that fit the counts."""
    rows_changed(files, lambda rows: rows[0].update(n_word_insertions=0, wer=0.0, wer_ci_low=0.0))


@tampering("counted again")
def better_texts(files: Files) -> None:
    """Texts without errors beside rows that have some."""
    rows_changed(files, lambda rows: [r.update(hypothesis=r["reference"]) for r in rows], store.HYPOTHESES)


@tampering("is not installed, so nothing was counted again")
def unknown_scorer(files: Files) -> None:
    """A scorer that nobody has, so that counts cannot be checked."""
    for number in range(3):
        rows_changed(files, lambda rows, n=number: rows[n].update(scorer="words@jiwer-99", n_word_insertions=0, wer=0.0,
                                                                  wer_ci_low=0.0))  # fmt: skip


@tampering("run_id is 'other'")
def mixed_rows(files: Files) -> None:
    """A row of another run."""
    rows_changed(files, lambda rows: rows[1].update(run_id="other"))


@tampering("has no repeat 0")
def missing_round(files: Files) -> None:
    """The slowest process left out."""
    rows_changed(files, lambda rows: rows.pop(2))


@tampering("no row of the cell")
def missing_cell(files: Files) -> None:
    """A variant left out, with its texts and windows."""
    for file in (store.RECORDS, store.HYPOTHESES, store.WINDOWS):
        rows_changed(files, lambda rows: rows.__setitem__(slice(None), [r for r in rows if r["variant"] == "a"]), file)


@tampering("hypotheses.jsonl has 39")
def missing_utterance(files: Files) -> None:
    """The hardest utterance left out."""
    rows_changed(files, lambda rows: rows.pop(0), store.HYPOTHESES)


@tampering("n_passes x the data set's audio")
def missing_pass(files: Files) -> None:
    """Seconds of a pass that was not made."""
    rows_changed(files, lambda rows: rows[0].update(audio_s=2 * rows[0]["audio_s"], rtfx=2 * rows[0]["rtfx"]))


@tampering("does not say when this window was")
def missing_window(files: Files) -> None:
    """A row without the edges of its window."""
    rows_changed(files, lambda rows: rows.pop(0), store.WINDOWS)


@tampering("windows.jsonl has 1.0")
def shorter_seconds(files: Files) -> None:
    """Fewer seconds than between the window's edges."""
    rows_changed(files, lambda rows: rows[1].update(wall_s=0.1, rtfx=800.0))


@tampering("energy_j is")
def fewer_joules(files: Files) -> None:
    """A total that is not the sum of its parts."""
    rows_changed(files, lambda rows: rows[0].update(energy_j=1.0, energy_j_per_audio_s=1 / 80))


@tampering("the parts in the row give 'estimated'")
def an_estimate_called_measured(files: Files) -> None:
    """A method of the total that its parts do not have."""
    rows_changed(files, lambda rows: rows[0].update(energy_cpu_method="estimated"))


@tampering("suite_hash")
def another_suite(files: Files) -> None:
    """A suite that is not the one that was run."""
    run = json.loads(files["r1/run.json"])
    run["suite"]["threads"] = 64
    files["r1/run.json"] = json.dumps(run).encode()


@tampering("the run's id is not its folder's name")
def renamed_folder(files: Files) -> None:
    """A run in another run's folder."""
    for name in [name for name in files if name.startswith("r1/")]:
        files[name.replace("r1/", "r2/")] = files.pop(name)


@tampering("not JSON")
def broken_run(files: Files) -> None:
    """A run.json that is none."""
    files["r1/run.json"] = b"{"


@tampering("variant: a valid string is expected, not ['a']")
def other_types(files: Files) -> None:
    """A key of another type."""
    rows_changed(files, lambda rows: rows[0].update(variant=["a"]))


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_refused_even_with_hashes_that_fit(name: str, entry: Path, tmp_path: Path) -> None:
    """Whoever changes an entry and hashes it anew is found out by what does not agree."""
    change, expected = TAMPERINGS[name]
    files = read(entry)
    change(files)
    assert expected in told(repack(entry, files), tmp_path)


def test_a_file_that_was_changed_after_packing_is_refused(entry: Path, tmp_path: Path) -> None:
    """The hash tells, wherever the change is."""
    files = read(entry)
    files["r1/records.jsonl"] += b"\n"
    with zipfile.ZipFile(entry, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert "r1/records.jsonl was changed after it was packed" in told(entry, tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "r1/../../evil", "r1\\evil", "C:evil", "r1/evil.py", "evil",
                                  "r1/logs/records.jsonl", "R1/records.jsonl "])  # fmt: skip
def test_unsafe_names_are_refused_before_anything_is_written(name: str, entry: Path, tmp_path: Path) -> None:
    """Only a run's own files can be in an entry, so nothing lands outside of its folder."""
    repack(entry, {**read(entry), name: b"{}"})
    assert "not a file of an entry" in told(entry, tmp_path)
    assert not (tmp_path / "unpacked").exists()
    assert not (tmp_path / "evil").exists()


def test_links_and_twins_are_refused(entry: Path, tmp_path: Path) -> None:
    """A link and a name that comes twice are refused by what the archive lists."""
    files = read(entry)
    link = zipfile.ZipInfo("r1/scores.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(entry, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in told(entry, tmp_path)
    with zipfile.ZipFile(repack(entry, files), "a") as archive:
        archive.writestr("R1/records.jsonl", "{}")
    assert "twice" in told(entry, tmp_path)


def _two_names(archive: zipfile.ZipFile) -> None:
    archive.writestr("r1/scores.jsonlXexe", "{}")
    archive.infolist()[-1].orig_filename = "r1/scores.jsonl\0exe"
    archive.infolist()[-1].filename = "r1/scores.jsonl\0exe"


def _encrypted(archive: zipfile.ZipFile) -> None:
    archive.writestr("r1/scores.jsonl", "{}")
    archive.infolist()[-1].flag_bits |= 1


def _strongly_encrypted(archive: zipfile.ZipFile) -> None:
    archive.infolist()[1].flag_bits |= 0x40


def _huge(archive: zipfile.ZipFile) -> None:
    archive.writestr("r1/scores.jsonl", "{}")
    archive.infolist()[-1].file_size = 2**62


def _of_no_size(archive: zipfile.ZipFile) -> None:
    archive.infolist()[-1].file_size = 0


def _of_another_checksum(archive: zipfile.ZipFile) -> None:
    archive.infolist()[1].CRC ^= 1


def _renamed_in_the_list(archive: zipfile.ZipFile) -> None:
    """The list and the header before the file have two names: programs that unpack by the one or the other differ."""
    archive.writestr("r1/scores.jsonl", "{}")
    archive.infolist()[-1].filename = "r1/control.jsonl"


def _device(archive: zipfile.ZipFile) -> None:
    archive.writestr("r1/scores.jsonl", "{}")
    archive.infolist()[-1].external_attr = (stat.S_IFCHR | 0o666) << 16


def _described_later(archive: zipfile.ZipFile) -> None:
    """A data descriptor is announced, whose sizes nobody wrote."""
    archive.infolist()[1].flag_bits |= 8
    archive.infolist()[1].compress_size += 7


TRICKS: dict[str, tuple[Callable[[zipfile.ZipFile], Any], str]] = {
    "two names": (_two_names, "named in two ways"),
    "a comment": (lambda archive: setattr(archive, "comment", b"<script>"), "or after its files"),
    "an encrypted member": (_encrypted, "is a link or encrypted"),
    "a strongly encrypted member": (_strongly_encrypted, "cannot be read as an entry"),
    "a member of exabytes": (_huge, "unpacks to more than"),
    "a member of no bytes": (_of_no_size, ""),
    "a wrong checksum": (_of_another_checksum, "cannot be read as an entry"),
    "another name in the list": (_renamed_in_the_list, ""),
    "a device": (_device, "is a link or encrypted"),
    "sizes that come later": (_described_later, "between or after its files"),
    "a run's folder in other letters": (lambda a: a.writestr("R1/scores.jsonl", "{}"), "only in upper and lower case"),
    "a comment of a file": (lambda archive: setattr(archive.infolist()[1], "comment", b"<script>"), "has a comment"),
    "an archive in the archive": (lambda a: a.writestr("r1/scores.zip", b"PK"), "not a file of an entry"),
    "a folder": (lambda a: a.writestr("r1/", ""), "not a file of an entry"),
    "bzip2": (lambda a: a.writestr("r1/scores.jsonl", "", zipfile.ZIP_BZIP2), "by another method than deflate"),
    "lzma": (lambda a: a.writestr("r1/scores.jsonl", "", zipfile.ZIP_LZMA), "by another method than deflate"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_of_archives_are_refused(name: str, entry: Path, tmp_path: Path) -> None:
    """What is hidden in an archive, or read otherwise by other programs, makes it no entry, and nothing escapes."""
    trick, expected = TRICKS[name]
    with zipfile.ZipFile(repack(entry, read(entry)), "a") as archive:
        archive._didModify = True  # so that the changed list is written
        trick(archive)
    assert told(entry, tmp_path)
    assert expected in told(entry, tmp_path / "again")
    assert {path.name for path in tmp_path.iterdir()} <= {"entry.zip", "again", "unpacked", "results"}


def test_bytes_that_no_hash_covers_are_refused(entry: Path, tmp_path: Path) -> None:
    """A program before the archive, and keys of its manifest that stand twice, are no part of an entry."""
    honest = entry.read_bytes()
    entry.write_bytes(b"#!/bin/sh\nexit\n" + honest)
    assert "bytes before, between or after its files" in told(entry, tmp_path)
    files = read(entry)
    repack(entry, files)
    files.pop(MANIFEST)
    with zipfile.ZipFile(entry) as archive:
        manifest = archive.read(MANIFEST).decode()
    with zipfile.ZipFile(entry, "w") as archive:
        archive.writestr(MANIFEST, manifest.replace("{", '{"digest": "0", ', 1))
        for name, data in files.items():
            archive.writestr(name, data)
    assert "the key 'digest' is given twice" in told(entry, tmp_path / "again")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(max_bytes=1000), "unpacks to more than"),
        (Limits(max_files=3), "at most 3"),
        (Limits(max_lines=20), "has more than 20 lines"),
        (Limits(max_line_bytes=500), "has a line of more than 500 bytes"),
        (Limits(max_aligned=20), "its texts take too long to be counted again"),
    ],
)
def test_what_an_entry_may_cost_is_a_setting(limits: Limits, expected: str, entry: Path, tmp_path: Path) -> None:
    """Bytes, files, lines and the length of a line are bounded before a row is read, by limits that a board sets."""
    problems = check(entry, tmp_path / "unpacked", limits)
    assert [expected in problem.what for problem in problems] == [True]


@pytest.mark.parametrize(
    "content", [b"\n" * 30_000_000, b"{}\n" * 10_000_000, b"x" * 50_000_000], ids=["empty", "short", "one"]
)
def test_bombs_cost_next_to_nothing(content: bytes, entry: Path, tmp_path: Path) -> None:
    """An archive of 100 kB that unpacks to lines without end is refused by its sizes; nothing of it is unpacked."""
    files = read(entry)
    files["r1/hypotheses.jsonl"] = content
    repack(entry, files, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    assert "times its size" in told(entry, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert not (tmp_path / "unpacked").exists()


@pytest.mark.parametrize("dear", ["long texts", "short lines"])
def test_dear_archives_are_refused_before_they_are_judged(
    dear: str, entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the ratio of sizes an archive of 90 kB still holds hours of work: it is not begun.

    The seconds are counted as what they are made of: pairs of characters to align, and lines that are parsed.
    """
    files, rng = read(entry), random.Random(3)
    noise = "".join(rng.choices("0123456789abcdef", k=120_000))  # what a member of that ratio needs
    text = json.loads(files["r1/hypotheses.jsonl"].splitlines()[0])
    if dear == "long texts":
        rows = [text | {"utterance_id": str(n), "reference": "ab cd " * 41_000, "hypothesis": f"{n} ba " * 49_000}
                for n in range(12)]  # fmt: skip
    else:
        rows = [{}] * 900_000
    files["r1/hypotheses.jsonl"] = "\n".join(json.dumps(row) for row in [text | {"speaker": noise}, *rows]).encode()
    assert repack(entry, files, zipfile.ZIP_DEFLATED).stat().st_size < 120_000
    parsed = []
    judged = readback.judged
    monkeypatch.setattr(readback, "judged", lambda *a: parsed.append(0) or judged(*a))
    monkeypatch.setattr(scorers, "accuracy", lambda *_a: pytest.fail("these texts are aligned"))
    assert ("counted again" if dear == "long texts" else "lines of hypotheses.jsonl cannot be used") in told(
        entry, tmp_path
    )
    assert len(parsed) < 10_000


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(entry: Path, tmp_path: Path) -> None:
    """The size that an archive lists bounds what is read, whatever its stream holds."""
    content = entry.read_bytes()
    with zipfile.ZipFile(entry) as archive:
        info = archive.getinfo("r1/hypotheses.jsonl")
        size = info.file_size.to_bytes(4, "little")
    assert content.count(size) >= 2  # in the member's own heading and in the directory
    entry.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    assert "cannot be read as an entry" in told(entry, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_entry_is_refused(content: bytes, tmp_path: Path) -> None:
    """An empty file, another file and an empty archive are told of, and no traceback."""
    (tmp_path / "entry.zip").write_bytes(content)
    assert "Pack the runs again" in check(tmp_path / "entry.zip", tmp_path / "unpacked")[0].fix
    assert check(tmp_path / "missing.zip", tmp_path / "unpacked")[0].what


def test_json_that_is_nested_without_end_is_refused(entry: Path, tmp_path: Path) -> None:
    """A file made to exhaust the parser is a refusal, not a crash."""
    files = read(entry)
    files["r1/records.jsonl"] += b"[" * 200_000
    assert told(repack(entry, files), tmp_path)


def test_what_a_board_would_refuse_is_not_packed(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """A run that misses a repeat is refused when it is packed, with how to continue it, and no file is written."""
    run = sound_run("r1", CELL | {"rounds": CELL["rounds"][:2]})
    with pytest.raises(InputError, match=r"has no repeat 0\. Continue the run with --resume"):
        pack([run], tmp_path / "entry.zip")
    assert not (tmp_path / "entry.zip").exists()


def test_a_run_that_cannot_be_read_is_refused_with_its_reason_alone(
    sound_run: Callable[..., Path], tmp_path: Path
) -> None:
    """A normaliser that is not installed is named with what to install; no folder of ours is, nor pydantic's pages."""
    from greenbench.suite import plan

    run = sound_run("r1", CELL)
    content = store.read_run(run)
    content["suite"]["normalizer"] = "ux-basic"
    (run / store.RUN).write_text(json.dumps(content | {"suite_hash": plan.digest(content["suite"])}))
    with pytest.raises(InputError) as refused:
        pack([run], tmp_path / "entry.zip")
    _, *told = str(refused.value).splitlines()
    assert len(told) == 1
    assert told[0].startswith("r1: run.json: the suite does not load: normalizer: unknown normalizer 'ux-basic'")
    assert told[0].endswith("Install the plug-in that the run was made with, or restore the file.")
    assert "pydantic" not in told[0]


def test_what_is_refused_says_what_to_do_once(tmp_path: Path) -> None:
    """The remedy stands behind the reason, and not in it, too."""
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    (problem,) = check(tmp_path / "bad.zip", tmp_path / "unpacked")
    assert f"{problem.what}. {problem.fix}".count("Pack the runs again") == 1


def test_a_pipe_in_place_of_an_entry_is_not_waited_for(tmp_path: Path) -> None:
    """It is refused in one line."""
    os.mkfifo(tmp_path / "entry.zip")
    (problem,) = check(tmp_path / "entry.zip", tmp_path / "runs")
    assert "it is not a regular file" in problem.what


@pytest.mark.parametrize("extra", [b"UT\4\0hidd", b"UT\4\0hiddup\4\0name"], ids=["a field", "another name"])
def test_extra_fields_are_refused(entry: Path, tmp_path: Path, extra: bytes) -> None:
    """No hash covers them, and one of them is another name of the file."""
    files = read(entry)
    with zipfile.ZipFile(entry, "w") as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name)
            member.extra = extra
            archive.writestr(member, data)
    assert "has a comment or extra fields" in told(entry, tmp_path)


def _after_the_end(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush() + b"hidden"


def _beyond_the_size(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data + bytes(3_000_000)) + deflate.flush()


@pytest.mark.parametrize(
    ("packed", "compression"),
    [
        (_after_the_end, zipfile.ZIP_DEFLATED),
        (_beyond_the_size, zipfile.ZIP_DEFLATED),
        (lambda data: data + b"hidden", zipfile.ZIP_STORED),
    ],
    ids=["after the end", "beyond the size", "after a file that is stored"],
)
def test_compressed_bytes_that_no_file_has_are_refused(
    entry: Path, tmp_path: Path, packed: Callable[[bytes], bytes], compression: int
) -> None:
    """A reader stops at the size that is stated, or at the end of the data: what follows would never be looked at."""
    files = read(entry)
    with zipfile.ZipFile(entry, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, packed(data))
            member = archive.infolist()[-1]
            with entry.open("r+b") as header:  # the header before the file; the list at the end follows from the member
                member.compress_type, member.file_size, member.CRC = compression, len(data), zlib.crc32(data)
                header.seek(member.header_offset)
                header.write(member.FileHeader())
    with zipfile.ZipFile(entry) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files, "zipfile itself sees nothing odd"
    assert "has compressed bytes that do not belong to it" in told(entry, tmp_path)


def test_a_digest_that_is_not_of_the_files_is_refused(entry: Path, tmp_path: Path) -> None:
    """The digest, by which an entry is quoted, is that of its files: another one in the manifest is no entry."""
    files = read(entry)
    manifest = json.loads(files[MANIFEST]) | {"digest": "0" * 64}
    with zipfile.ZipFile(entry, "w") as archive:
        for name, data in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
    (problem,) = check(entry, tmp_path / "unpacked")
    assert "the digest is not that of the files' hashes" in problem.what
