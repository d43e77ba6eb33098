"""How a published archive becomes a local folder: checked, safely unpacked, there whole or not at all."""

import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any

from greenbench import extras
from greenbench.errors import MissingError
from greenbench.files import whole
from greenbench.files.limits import limits
from greenbench.plugins import amounts

_TIMEOUT_S = (5, 30)
"""To connect, and between two packets; there are no retries, so that a machine without a network says so at once."""

_SMALL_BYTES = 2**20
"""So much may come of any archive, however small it is."""


def fetch_folder(url: str, md5: str, member: str, target: Path) -> None:
    """Download a ``.tar.gz`` archive and put one of its folders at ``target``.

    Everything happens in a temporary folder next to ``target``, which is renamed into place at the very end:
    an interrupted call leaves no ``target`` and the next call starts anew. Should another process finish
    first, its folder is kept. What is here is reported to ``plugins.amounts``; where
    nobody watches these, a progress bar is shown where stderr is a terminal.

    Args:
        url: the archive's address.
        md5: the published checksum, hexadecimal.
        member: the folder inside the archive, e.g. ``LibriSpeech/test-clean``.
        target: where that folder shall be; its parent is made if need be.

    Raises:
        MissingError: no package that downloads, no network, a damaged download, an unsafe archive, or a disk that
            cannot take it.
    """
    extras.need("librispeech")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.partial-", dir=target.parent) as work:
            archive, unpacked = Path(work, "archive"), Path(work, "unpacked")
            _download(url, md5, archive)
            _unpack(archive, unpacked, url)
            _publish(unpacked / member, target, url)
    except OSError as error:  # includes every exception of requests
        raise MissingError(f"{url}: {_cause(error)}") from error


def _download(url: str, md5: str, archive: Path) -> None:
    """Download to ``archive`` and compare the checksum."""
    import pooch

    shown = _Bytes() if amounts.is_watched() else sys.stderr.isatty()
    download = pooch.HTTPDownloader(progressbar=shown, chunk_size=2**20, timeout=_TIMEOUT_S)
    try:
        download(url, str(archive), None)
    except OSError as error:
        response = getattr(error, "response", None)
        if response is None:
            raise
        response.close()  # pooch leaves it open
        raise MissingError(f"{url}: the server answers {response.status_code}") from error
    got = pooch.file_hash(str(archive), alg="md5")
    if got != md5:
        raise MissingError(f"{url}: the download is damaged: its md5 is {got}, not {md5}")


class _Bytes:
    """What pooch takes for a progress bar, of which it sets ``total``; it reports the bytes."""

    def __init__(self) -> None:
        self.total = self._n = 0

    def update(self, n: int) -> None:
        self._n = min(self._n + n, self.total or self._n + n)  # pooch counts whole chunks
        amounts.report(self._n, self.total)

    def reset(self) -> None:
        self._n = 0

    def close(self) -> None:
        """Do nothing, as there is nothing to take away."""


def _unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack plain files and folders, and nothing that would lie outside ``folder``."""
    # Pythons before 3.10.12 and 3.11.4 have no filter; the check below needs none.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    n_left = max(_SMALL_BYTES, int(limits().max_ratio * archive.stat().st_size))
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                _refuse_unsafe(entry, folder, url)
                n_left -= entry.size
                if n_left < 0:
                    raise MissingError(
                        f"{url}: unsafe archive: it unpacks to over {limits().max_ratio:g} times its size"
                    )
                tar.extract(entry, folder, **safely)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise MissingError(f"{url}: the archive cannot be unpacked ({error})") from error


def _refuse_unsafe(entry: tarfile.TarInfo, folder: Path, url: str) -> None:
    """Raise ``MissingError`` for links, devices, and names that lead out of ``folder``."""
    if not (entry.isfile() or entry.isdir()):
        raise MissingError(f"{url}: unsafe archive: '{entry.name}' is neither a plain file nor a folder")
    if not (folder / entry.name).resolve().is_relative_to(folder.resolve()):
        raise MissingError(f"{url}: unsafe archive: '{entry.name}' would be written outside its folder")


def _publish(folder: Path, target: Path, url: str) -> None:
    """Rename ``folder`` to ``target``, unless another process has put it there meanwhile."""
    if not folder.is_dir():
        raise MissingError(f"{url}: the archive has no folder {folder.parent.name}/{folder.name}")
    try:
        whole.rename(folder, target)
    except OSError:
        if not target.is_dir():
            raise


def _cause(error: OSError) -> str:
    """Say in a few words why a download or a write failed."""
    if error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"no connection, or it broke ({type(error).__name__})"
