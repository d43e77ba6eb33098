"""LibriSpeech yields what OpenSLR's folders hold, complete and in order, and fetches what is missing."""

import re
import tarfile
import typing
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from greenbench import extras, registry
from greenbench.datasets import librispeech
from greenbench.datasets.librispeech import LibriSpeech
from greenbench.errors import InputError, MissingError
from greenbench.plugins import amounts

MakeCorpus = Callable[..., Path]
Server = Any  # the ArchiveServer of conftest.py


def archive_of(corpus: Path, subset: str) -> bytes:
    """Return the corpus as OpenSLR packs it, below ``LibriSpeech/``."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(corpus / subset, f"LibriSpeech/{subset}")
    return buffer.getvalue()


@pytest.fixture
def openslr(server: Server, make_corpus: MakeCorpus, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a server that has a small test-clean and dev-clean-2 in OpenSLR's place."""
    server.body = archive_of(make_corpus("test-clean"), "test-clean")
    monkeypatch.setattr(librispeech, "OPENSLR_URL", server.url)
    monkeypatch.setitem(librispeech.ARCHIVES, "test-clean", ("12", server.md5))  # type: ignore[arg-type]
    return server


@pytest.mark.speech
def test_the_subset_of_test_other_is_read_whole(speech: Path) -> None:
    """The shared part of test-other has 60 utterances of 6 speakers, each of them audible speech."""
    data = LibriSpeech(speech / "LibriSpeech", "test-other")
    data.prepare()
    clips = list(data())
    assert len({clip.id for clip in clips}) == len(clips) == 60
    assert {clip.speaker for clip in clips} == {"1688", "1998", "2414", "3005", "3080", "367"}
    assert clips[2].id == "1688-142285-0002"
    assert clips[2].reference == "YOU DON'T MEAN THAT YOU THOUGHT ME SO SILLY"
    for clip in clips[::10]:
        audio = clip.read()
        assert 16_000 < len(audio) < 40 * 16_000
        assert 0.001 < abs(audio).mean() < 0.5


@pytest.mark.speech
def test_mini_librispeech_is_read_whole(speech: Path) -> None:
    """The shared part of train-clean-5 has 120 utterances of 4 speakers."""
    clips = list(LibriSpeech(speech / "LibriSpeech", "train-clean-5")())
    assert len(clips) == 120
    assert len({clip.speaker for clip in clips}) == 4


@pytest.mark.parametrize("backwards", [True, False])
def test_clips_come_in_the_order_of_their_names(
    make_corpus: MakeCorpus, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    """Order is speaker, chapter, utterance by name, however transcripts and the file system list them."""
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *args: sorted(glob(*args), reverse=backwards))
    clips = list(LibriSpeech(make_corpus(), "test-clean")())
    assert [clip.id for clip in clips] == [
        "1089-134686-0000", "1089-134686-0001", "1089-9-0000", "1089-9-0001", "84-121550-0000", "84-121550-0001",
    ]  # fmt: skip
    assert clips[-1].speaker == "84"
    assert clips[-1].reference == "THE TEXT OF 84-121550-0001"
    assert clips[-1].read().shape == (160,)


def test_no_audio_is_opened_before_it_is_read(make_corpus: MakeCorpus) -> None:
    """Listing a corpus decodes nothing: unreadable files are met at ``read``, not before."""
    root = make_corpus()
    for path in root.rglob("*.flac"):
        path.write_bytes(b"")
    assert len(list(LibriSpeech(root, "test-clean")())) == 6


def test_a_missing_file_is_named_and_all_are_counted(make_corpus: MakeCorpus) -> None:
    """Before the first clip, the first missing file is named with the number of missing ones."""
    root = make_corpus()
    for name in ("84/121550/84-121550-0001", "1089/9/1089-9-0000", "1089/9/1089-9-0001"):
        (root / f"test-clean/{name}.flac").unlink()
    data = LibriSpeech(root, "test-clean")
    for act in (data.prepare, lambda: next(data())):
        with pytest.raises(MissingError, match=r"^\S+/1089-9-0000\.flac: has a transcript but no .*: 3\)"):
            act()


def test_audio_without_a_transcript_is_told(make_corpus: MakeCorpus) -> None:
    """A file that no transcript mentions would silently leave the corpus; it is an error."""
    root = make_corpus()
    (root / "test-clean/84/121550/84-121550.trans.txt").unlink()
    with pytest.raises(MissingError, match=r"/84-121550-0000\.flac: has audio but no transcript .*: 2\)"):
        next(LibriSpeech(root, "test-clean")())


@pytest.mark.parametrize(
    "line", ["84-121550-0001", "84-121550-0001   ", "84-9-0001 A", "just words", "84-121550-0001 \udcff"]
)
def test_a_malformed_line_is_told_with_its_number(make_corpus: MakeCorpus, line: str) -> None:
    """A line without a text, of another chapter, or not UTF-8 is told as file:line."""
    root = make_corpus()
    path = root / "test-clean/84/121550/84-121550.trans.txt"
    path.write_bytes(f"84-121550-0000 A B\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=re.escape(f"{path}:2: ")):
        next(LibriSpeech(root, "test-clean")())


def test_a_repeated_line_is_told(make_corpus: MakeCorpus) -> None:
    """Two texts for one utterance are an error, not the last one's win."""
    root = make_corpus()
    path = root / "test-clean/84/121550/84-121550.trans.txt"
    path.write_text(path.read_text() + "84-121550-0000 ANOTHER TEXT\n")
    with pytest.raises(InputError, match=re.escape(f"{path}:3: '84-121550-0000'")):
        next(LibriSpeech(root, "test-clean")())


def test_what_macos_leaves_beside_files_is_no_part_of_the_corpus(make_corpus: MakeCorpus) -> None:
    """AppleDouble companions of audio, transcripts and folders are passed over, and the corpus is whole."""
    root = make_corpus()
    before = [clip.id for clip in LibriSpeech(root, "test-clean")()]
    for path in [*root.rglob("*")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\x05\x16\x07")
    (root / "test-clean/84/.DS_Store").touch()
    (root / "test-clean/84/.hidden").mkdir()
    data = LibriSpeech(root, "test-clean")
    data.prepare()
    assert [clip.id for clip in data()] == before


def test_a_byte_order_mark_in_transcripts_is_read(make_corpus: MakeCorpus) -> None:
    """A mark that an editor put before the first line is no part of its id."""
    root = make_corpus()
    path = root / "test-clean/84/121550/84-121550.trans.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(list(LibriSpeech(root, "test-clean")())) == 6


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    """A subset folder without any transcript is missing data, not a corpus of 0 utterances."""
    (tmp_path / "test-clean").mkdir()
    with pytest.raises(MissingError, match=re.escape(f"{tmp_path / 'test-clean'}: ")):
        LibriSpeech(tmp_path, "test-clean").prepare()


def test_a_missing_subset_is_downloaded_once(openslr: Server, tmp_path: Path) -> None:
    """The archive of resource 12 lands at root/subset, and is not asked for again."""
    data = LibriSpeech(tmp_path / "new", "test-clean")
    data.prepare()
    data.prepare()
    assert openslr.requests == ["/12/test-clean.tar.gz"]
    assert len(list(data())) == 6
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["test-clean"]


def test_a_download_reports_what_is_here(openslr: Server, tmp_path: Path) -> None:
    """In bytes, up to those that the server states, to whom it may concern; then nobody is told any more."""
    with amounts.watched() as amount:
        LibriSpeech(tmp_path, "test-clean").prepare()
    assert amount.n_bytes == amount.of_bytes == len(openslr.body)
    assert not amounts.is_watched()


def test_mini_librispeech_is_asked_of_its_own_resource(openslr: Server, tmp_path: Path) -> None:
    """Mini LibriSpeech is OpenSLR's resource 31; and what is served there with another md5 is refused."""
    with pytest.raises(MissingError, match="md5"):
        LibriSpeech(tmp_path, "dev-clean-2").prepare()
    assert openslr.requests == ["/31/dev-clean-2.tar.gz"]


def test_without_a_network_the_remedy_is_told(openslr: Server, tmp_path: Path) -> None:
    """One line names the data set, the place, the address and the option to set."""
    openslr.http.socket.close()
    with pytest.raises(MissingError) as caught:
        LibriSpeech(tmp_path, "test-clean").prepare()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "librispeech/test-clean", str(tmp_path / "test-clean"), f"{openslr.url}/12/test-clean.tar.gz", "'root'",
    ):  # fmt: skip
        assert part in message


def test_what_downloads_is_asked_for_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pooch a missing subset is one line with the command that installs it; one that is there needs none."""
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "pooch")
    data = LibriSpeech(tmp_path / "new", "test-clean")
    for call in (data.to_fetch, data.prepare):
        with pytest.raises(MissingError, match=r"pooch not installed: pip install 'greenbench\[librispeech\]'"):
            call()
    assert not (tmp_path / "new").exists()
    (tmp_path / "new" / "test-clean").mkdir(parents=True)
    assert data.to_fetch() is None


def test_every_subset_has_a_published_checksum() -> None:
    """Each subset that may be asked for has a resource and its own well-formed md5."""
    assert set(typing.get_args(librispeech.Subset)) == set(librispeech.ARCHIVES)
    sums = [md5 for _, md5 in librispeech.ARCHIVES.values()]
    assert len(set(sums)) == len(sums)
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in sums)


def test_the_suite_creates_it_strictly(make_corpus: MakeCorpus) -> None:
    """A suite gives root and subset; a subset that does not exist is refused with the valid ones."""
    root = make_corpus()
    data = registry.create("datasets", "librispeech", {"root": "corpus", "subset": "test-clean"}, root.parent)
    assert data == LibriSpeech(root.resolve(), "test-clean")
    assert data.label == "librispeech/test-clean"
    with pytest.raises(InputError, match=r"subset: .*'test-other'"):
        registry.create("datasets", "librispeech", {"root": "corpus", "subset": "test-othr"})
