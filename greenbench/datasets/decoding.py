"""How an audio file is opened and decoded by libsndfile, block by block; what fails is one line that names it."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from greenbench.datasets import containers
from greenbench.errors import BadAudioError

if TYPE_CHECKING:
    from soundfile import SoundFile

MAX_S = 3 * 3600.0
"""The longest that one utterance may be: 0.7 GB of samples. Cut longer recordings with ``offset`` and ``duration``."""

_BLOCK = 2**18


@contextmanager
def opened(path: Path) -> "Iterator[SoundFile]":
    """Open an audio file; whatever fails with it meanwhile is one line that names it."""
    import soundfile

    try:
        # Python opens the file because libsndfile calls every failure to open a "System error".
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would wait for ever
            raise bad(path, "it is a directory" if path.is_dir() else "it is a pipe or a device, not a regular file")
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            # It seeks after every read otherwise, which fails in FLAC of unknown length.
            sound.seekable = lambda: False
            yield sound
    except soundfile.LibsndfileError as error:
        raise bad(path, containers.why_unreadable(path, _cause(error))) from error
    except OSError as error:
        raise bad(path, f"it cannot be opened ({error.strerror})") from error
    except (TypeError, ValueError, MemoryError) as error:  # headerless format, NUL in the name, absurd length
        raise bad(path, f"it cannot be decoded ({error})") from error


def blocks_of(path: Path, sound: "SoundFile", start: int, n_asked: int | None) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples of a part, shape ``(n_frames, n_channels)`` each, until it or the file ends."""
    most = int(MAX_S * sound.samplerate)
    n_skipped = start if can_seek(path, sound, start) else 0
    if n_skipped:
        sound.seek(n_skipped)
    first, last = start - n_skipped, None if n_asked is None else start - n_skipped + n_asked
    n_done = 0
    while last is None or n_done < last:
        n_wanted = _BLOCK if last is None else min(_BLOCK, last - n_done)
        block = _read_block(path, sound, n_wanted, n_skipped + n_done)
        if not len(block):
            return
        yield block[max(0, first - n_done) :]
        n_done += len(block)
        if n_done - first > most:
            raise too_long(path)


def _read_block(path: Path, sound: "SoundFile", n_wanted: int, n_before: int) -> npt.NDArray[np.float32]:
    """Return the next samples, fewer than wanted where the file ends."""
    import soundfile

    try:
        block: npt.NDArray[np.float32] = sound.read(out=np.empty((n_wanted, sound.channels), np.float32))
    except soundfile.LibsndfileError as error:
        where = f"somewhere after {n_before / sound.samplerate:.1f} s ({_cause(error)})"
        remedy = f"another decoder may read it: ffmpeg -i {path.name} {path.stem}.flac"
        raise bad(path, f"it is damaged {where}; {remedy}") from error
    return block


def _cause(error: Any) -> str:
    return str(error.error_string).removeprefix("Error : ").rstrip(".")


def can_seek(path: Path, sound: "SoundFile", start: int) -> bool:
    """Say whether the decoder finds a sample by its number; an estimated length leads it astray."""
    return type(sound).seekable(sound) and start <= sound.frames and containers.is_promise(path, sound)


def too_long(path: Path) -> BadAudioError:
    """Return the refusal of what lasts longer than ``MAX_S``."""
    return bad(path, f"it lasts more than {MAX_S / 3600:g} h: cut it, or read parts with `offset` and `duration`")


def bad(path: Path, cause: str) -> BadAudioError:
    """Return the refusal of a file for a cause."""
    return BadAudioError(f"{path}: bad audio: {cause}")
