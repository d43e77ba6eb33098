"""What the bytes of an audio file say and its decoder does not: joined recordings, and headers that are wrong."""

import mmap
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from greenbench.datasets import flac, mp3
from greenbench.files.pointers import stand_in

if TYPE_CHECKING:
    from soundfile import SoundFile

_UNKNOWN = 2**60
"""libsndfile's count of samples where a FLAC file does not tell one is above."""

_PLACEHOLDER = 0x7FFF_0000
"""From here on the bytes that a WAV header declares are what a program wrote that did not know them (to a pipe)."""

_SIZES = re.compile(r"^ *(?:SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's log where an AIFF, AU, W64 or RF64 header promises another number of bytes than the file has."""

_UNPACKED = (1, 3, 6, 7, 0xFFFE)
"""Codings of WAV of which every sample takes as many bytes: PCM, float, A-law, mu-law, and extensible."""

_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)

_JOINED = "it is several files joined end to end, of which only the first would be read: split it, or join the samples"

_FOREIGN = {
    b"ftyp": "MPEG-4 (m4a, mp4)", b"\x1a\x45\xdf\xa3": "Matroska or WebM", b"\x30\x26\xb2\x75": "Windows Media",
    b"#!AMR": "AMR", b"ADIF": "AAC", b"\xff\xf1": "AAC", b"\xff\xf9": "AAC", b"ajkg": "Shorten",
    b"MAC ": "Monkey's Audio", b"wvpk": "WavPack",
}  # fmt: skip
"""How files begin that libsndfile does not decode -> what they are."""


def why_unreadable(path: Path, cause: str) -> str:
    """Say why a decoder refuses a file, and what to do about it.

    Args:
        path: the file.
        cause: in the decoder's words.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if other := stand_in(head):
        return other
    kind = next((name for magic, name in _FOREIGN.items() if head.startswith(magic) or head[4:8] == magic), None)
    if kind:
        return f"{kind} is not decoded here: convert it to FLAC or WAV (ffmpeg -i {path.name} {path.stem}.flac)"
    wav = _read_wav(path)
    broken = _broken_ogg(path) if head.startswith(b"OggS") else wav and _wav_length(wav)
    return broken or f"it cannot be decoded ({cause})"


def is_promise(path: Path, sound: "SoundFile") -> bool:
    """Say whether the decoder knows the number of samples, or estimates it from the size of an MP3 file."""
    return bool(sound.frames < _UNKNOWN) and (sound.format != "MP3" or mp3.is_counted(path))


def contradiction(path: Path, sound: "SoundFile") -> str | None:
    """Say why a file's samples are not all that it holds, or not at the rate that it declares; None where they are."""
    if not 4000 <= sound.samplerate <= 768_000:
        return f"its header declares {sound.samplerate} samples a second, which is not a sampling rate of speech"
    for n_declared, n_there in _SIZES.findall(sound.extra_info):
        if int(n_there) < int(n_declared) < _PLACEHOLDER:
            return f"it breaks off: its header says {n_declared} bytes, {n_there} are there"
    found = path.stat()
    heading = _Heading(sound.format, sound.samplerate, sound.frames)
    return _scanned(path, heading, found.st_size, found.st_mtime_ns)


class _Heading(NamedTuple):
    """What libsndfile takes from a header: the format, samples a second and samples."""

    form: str
    rate_hz: int
    n_samples: int


@lru_cache(maxsize=64)
def _scanned(path: Path, heading: _Heading, _n_bytes: int, _changed_ns: int) -> str | None:
    """Look through a file once, however many of its parts are read."""
    checks = {"WAV": _wav, "WAVEX": _wav, "FLAC": _flac, "OGG": _ogg, "MP3": _mp3}
    checks |= dict.fromkeys(("AU", "CAF", "W64", "RF64"), _headed)
    return checks[heading.form](path, heading) if heading.form in checks else None


# --- WAV -------------------------------------------------------------------------------------------------


class _Wav(NamedTuple):
    """What a RIFF file declares, and what there is.

    Attributes:
        fmt: the chunk that describes the samples.
        n_declared: bytes of samples by the header.
        n_there: bytes from the first sample to the end of the file.
        rest: what follows the samples, its beginning.
    """

    fmt: bytes
    n_declared: int
    n_there: int
    rest: bytes


def _wav(path: Path, heading: _Heading) -> str | None:
    found = _read_wav(path)
    return (_wav_rate(found, heading.rate_hz) or _wav_length(found)) if found else None


def _wav_rate(found: _Wav, rate_hz: int) -> str | None:
    """Compare the samples a second of a header with its bytes a second."""
    coding, bytes_per_s, frame_bytes = (
        int.from_bytes(found.fmt[a:b], "little") for a, b in ((0, 2), (8, 12), (12, 14))
    )
    implied_hz = bytes_per_s / max(1, frame_bytes)
    if coding not in _UNPACKED or implied_hz == rate_hz or implied_hz not in _RATES_HZ:
        return None
    return (
        f"its header contradicts itself: {rate_hz} Hz, and {bytes_per_s} bytes a second, which is {implied_hz:.0f} Hz"
    )


def _wav_length(found: _Wav) -> str | None:
    """Compare the bytes of samples that a header declares with those that there are."""
    declared = f"its header says {found.n_declared} bytes of samples, {found.n_there} follow"
    if found.n_declared >= _PLACEHOLDER:
        return None
    if found.n_there < found.n_declared:
        return f"it breaks off: {declared}"
    if found.rest.startswith((b"RIFF", b"RIFX")):
        return _JOINED
    n_rest = found.n_there - found.n_declared
    return f"{declared}: write the header anew" if n_rest >= 8 and not _is_chunk(found.rest, n_rest) else None


def _is_chunk(rest: bytes, n_rest: int) -> bool:
    """Say whether what follows the samples is another chunk of a RIFF file, or padding."""
    name, size = rest[:4], int.from_bytes(rest[4:8], "little")
    return not any(rest) or (size <= n_rest and name.isascii() and name.decode("ascii").isprintable())


def _read_wav(path: Path) -> _Wav | None:
    """Walk the chunks of a RIFF file up to its samples; None where that is another file, or has none."""
    with path.open("rb") as file:
        head, fmt = file.read(12), b""
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return _of_samples(file, fmt, size)
            if chunk[:4] == b"fmt ":
                fmt = file.read(min(size, 64))
                file.seek(size - len(fmt), 1)
            else:
                file.seek(size, 1)
            file.seek(size & 1, 1)
    return None


def _of_samples(file: BinaryIO, fmt: bytes, n_declared: int) -> _Wav:
    start = file.tell()
    n_there = file.seek(0, 2) - start
    file.seek(start + min(n_there, n_declared))
    rest = file.read(4096)
    is_padded = n_declared & 1 and rest[:1] == b"\0"
    return _Wav(fmt, n_declared, n_there, rest[1:] if is_padded else rest)


# --- the others ------------------------------------------------------------------------------------------


def _flac(path: Path, heading: _Heading) -> str | None:
    return _JOINED if flac.is_joined(path) else flac.contradiction(path, heading.rate_hz, heading.n_samples)


def _mp3(path: Path, heading: _Heading) -> str | None:
    return _JOINED if mp3.is_joined(path) else mp3.contradiction(path, heading.rate_hz, heading.n_samples)


def _headed(path: Path, _heading: _Heading) -> str | None:
    """Look for the eight bytes that a file of this format begins with once more."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _JOINED if content.find(content[:8], 8) >= 0 else None


def _ogg(path: Path, _heading: _Heading) -> str | None:
    return _broken_ogg(path)


def _broken_ogg(path: Path) -> str | None:
    """Look for a page that begins a stream after others that go on with one, for pages behind junk, for a cut one.

    The last page of a stream is marked as such (RFC 3533, section 6); a file that was cut between two pages has none.
    """
    begun, flags, end, n_bytes = False, 4, 0, path.stat().st_size
    for flags, end in _ogg_pages(path):
        if end > n_bytes:
            return f"it breaks off: its last page ends at byte {end}, and the file at {n_bytes}"
        if flags & 2 and begun:
            return _JOINED
        begun = begun or not flags & 2
    with path.open("rb") as file:
        file.seek(end)
        if b"OggS" in file.read():
            return _JOINED
    remedy = f"if nothing is missing, write it anew (ffmpeg -i {path.name} -c copy new{path.suffix})"
    return None if flags & 4 else f"it breaks off: its last page is not marked as the last; {remedy}"


def _ogg_pages(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the flags of each page and the byte after it, up to where pages end."""
    with path.open("rb") as file:
        while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
            sizes = file.read(head[26])
            yield head[5], file.seek(sum(sizes) + head[26] - len(sizes), 1)
