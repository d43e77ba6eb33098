"""fetch_folder puts a whole, verified folder in place or nothing, and never writes elsewhere."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from greenbench.datasets import archives
from greenbench.errors import MissingError
from greenbench.files import whole

Server = Any  # the ArchiveServer of conftest.py


def pack(*entries: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
    """Return a gzipped tar archive of (name or entry, contents)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for entry, contents in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


GOOD = pack(("top/sub/a.txt", b"a" * 300_000), ("top/sub/deep/b.txt", b"b"), ("top/other.txt", b"c"))


def fetch(server: Server, target: Path, md5: str | None = None) -> None:
    archives.fetch_folder(f"{server.url}/x.tar.gz", md5 or server.md5, "top/sub", target)


def refusal(server: Server, target: Path, md5: str | None = None) -> str:
    """Return the one-line message of a fetch that must fail and leave nothing behind."""
    with pytest.raises(MissingError) as caught:
        fetch(server, target, md5)
    message = str(caught.value)
    assert server.url in message
    assert "\n" not in message
    assert list(target.parent.iterdir()) == []
    return message


def test_only_the_named_folder_lands_at_the_target(server: Server, tmp_path: Path) -> None:
    """The member folder is at the target with all its files, and neither archive nor temporary files stay."""
    server.body = GOOD
    fetch(server, tmp_path / "new" / "here")
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["new/here/a.txt", "new/here/deep/b.txt"]
    assert (tmp_path / "new/here/a.txt").read_bytes() == b"a" * 300_000


def test_a_wrong_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    """An archive that unpacks well but has another md5 is not used; both sums are told."""
    server.body = GOOD
    message = refusal(server, tmp_path / "here", md5="0" * 32)
    assert "0" * 32 in message
    assert server.md5 in message


@pytest.mark.parametrize("says_length", [True, False])
def test_an_interrupted_download_counts_for_nothing(server: Server, tmp_path: Path, says_length: bool) -> None:
    """A connection that breaks half-way leaves nothing, and the next call succeeds from the start."""
    server.body, server.n_sent, server.says_length = GOOD, len(GOOD) // 2, says_length
    refusal(server, tmp_path / "here")
    server.n_sent = None
    fetch(server, tmp_path / "here")
    assert (tmp_path / "here/deep/b.txt").read_bytes() == b"b"


def test_an_interrupted_unpacking_counts_for_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between two files leaves neither a target nor temporary files."""
    server.body = GOOD
    extract, done = tarfile.TarFile.extract, []

    def interrupted(self: tarfile.TarFile, *args: object, **kwargs: object) -> None:
        if done:
            raise KeyboardInterrupt
        extract(self, *args, **kwargs)  # type: ignore[arg-type]
        done.append(args)

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path / "here")
    assert done
    assert list(tmp_path.iterdir()) == []


def test_a_missing_archive_is_told_with_the_status(server: Server, tmp_path: Path) -> None:
    """The server's 404 is in the message, and its error page is not taken for the archive."""
    server.body, server.status = GOOD, 404
    assert "404" in refusal(server, tmp_path / "here")


def test_without_a_network_it_fails_at_once(server: Server, tmp_path: Path, never_waits: None) -> None:
    """A refused connection is tried once, without a retry's back-off."""
    server.http.socket.close()
    message = refusal(server, tmp_path / "here")
    assert "no connection" in message


def link(name: str, to: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


ESCAPES = {
    "parent": (("top/sub/../../../../escaped.txt", b"x"),),
    "absolute": (("{tmp}/escaped.txt", b"x"),),
    "symlink": ((link("top/sub/out", "../../../..", tarfile.SYMTYPE), b""), ("top/sub/out/escaped.txt", b"x")),
    "absolute symlink": ((link("top/sub/out", "{tmp}", tarfile.SYMTYPE), b""), ("top/sub/out/escaped.txt", b"x")),
    "hard link": ((link("top/sub/out", "../../../victim.txt", tarfile.LNKTYPE), b""),),
    "pipe": ((link("top/sub/pipe", "", tarfile.FIFOTYPE), b""),),
}


@pytest.mark.parametrize("has_filter", [True, False])
@pytest.mark.parametrize("kind", ESCAPES)
def test_archives_that_escape_are_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, has_filter: bool
) -> None:
    """No entry is written outside, with and without tarfile's filter, and nothing counts as unpacked."""
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    entries = [("top/sub/a.txt", b"a")]
    for entry, contents in ESCAPES[kind]:
        info = (
            tarfile.TarInfo(entry)
            if isinstance(entry, str)
            else tarfile.TarInfo.frombuf(entry.tobuf(), "utf-8", "strict")
        )
        info.name = info.name.replace("{tmp}", str(tmp_path))
        info.linkname = info.linkname.replace("{tmp}", str(tmp_path))
        entries.append((info, contents))  # type: ignore[arg-type]
    server.body = pack(*entries)
    target = tmp_path / "root" / "here"
    assert "unsafe archive" in refusal(server, target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root"]


def test_an_archive_that_swells_is_refused_before_it_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros of 64 MB in one file or in many are a thousandth in the archive; the check precedes each file."""
    written: list[int] = []
    extract = tarfile.TarFile.extract
    monkeypatch.setattr(
        tarfile.TarFile,
        "extract",
        lambda tar, entry, *a, **k: (written.append(entry.size), extract(tar, entry, *a, **k)),
    )
    for n_files in (1, 64):
        server.body = pack(*((f"top/sub/{n}.wav", bytes(2**26 // n_files)) for n in range(n_files)))
        assert "it unpacks to over 100 times its size" in refusal(server, tmp_path / "root" / "here")
    assert sum(written) < 2**24


def test_an_archive_without_the_folder_is_refused(server: Server, tmp_path: Path) -> None:
    """An archive of something else is told as such, with the folder that was looked for."""
    server.body = pack(("another/file.txt", b"x"))
    assert "the archive has no folder top/sub" in refusal(server, tmp_path / "here")


@pytest.mark.parametrize("body", [b"not an archive", GOOD[: len(GOOD) // 2]])
def test_what_is_no_archive_is_refused(server: Server, tmp_path: Path, body: bytes) -> None:
    """A file whose checksum fits but which does not unpack is one line, not a traceback."""
    server.body = body
    assert "cannot be unpacked" in refusal(server, tmp_path / "here")


def test_the_folder_of_a_faster_process_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process put the folder there meanwhile, its files stay and no error is raised."""
    server.body = GOOD
    rename = whole.rename

    def late(folder: Path, target: Path) -> None:
        target.mkdir()
        (target / "theirs.txt").touch()
        rename(folder, target)

    monkeypatch.setattr(whole, "rename", late)
    fetch(server, tmp_path / "here")
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["theirs.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_a_place_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    """A file in place of the parent folder is told with its path."""
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match=r"/file"):
        fetch(server, tmp_path / "file" / "here")


def test_no_progress_bar_is_drawn_in_a_log(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, a download writes nothing at all."""
    server.body = GOOD
    fetch(server, tmp_path / "here")
    assert capfd.readouterr() == ("", "")
