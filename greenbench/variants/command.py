"""The command family: any program, in any language, that reads requests as JSON lines and answers each with one."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from greenbench.errors import AnswerError, MissingError
from greenbench.plugins import Footprint, Inapplicable, Step, SuitePath, Variant, Waveform
from greenbench.variants import programs
from greenbench.variants.child import Child
from greenbench.variants.exchange import Audio, Requests


def _beside(argv: list[str], info: ValidationInfo) -> list[str]:
    """Make each word absolute that names a file beside the suite or in the working directory."""
    if not argv or not argv[0]:
        raise ValueError("a program is expected, with its arguments, such as [python3, recogniser.py]")
    base = (info.context or {}).get("base")
    return argv if base is None else [_absolute(word, Path(base)) for word in argv]


def _absolute(word: str, base: Path) -> str:
    option, value = _parted(word)
    places = [(folder / value).absolute() for folder in (base, Path.cwd())]  # a link stays one: of a venv's python
    return option + next((str(place) for place in places if value and _is_file(place)), value)


def _parted(word: str) -> tuple[str, str]:
    """Return an option with its sign of equality, and its value; any other word is all value."""
    option, equals, value = word.partition("=")
    return (option + equals, value) if equals and option.startswith("-") else ("", word)


def _is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):  # a word that is too long for a path, or has what none has
        return path.is_file()
    return False


@dataclass(frozen=True)
class Command(programs.ProgramFamily):
    """Settings of a program that transcribes.

    Attributes:
        argv: the program and its arguments. What names a file beside the suite is that file; a program may also be one
            on the ``PATH``. The content of the program and of each file is a part of the variant's identity.
        protocol: ``jsonl``: the program prints ``{"ready": true}`` once it has loaded, and then answers each line of
            JSON with one.
        audio: how it gets an utterance: the ``path`` of a WAV file, or the file's content in ``base64``.
        timeout_s: seconds within which it must be ready, and must answer each request.
        files: further files that decide what it answers: their content is a part of the variant's identity.
        batching: how it runs a batch: ``sequential`` (one after the other) or ``padded`` (together).
    """

    argv: Annotated[list[str], AfterValidator(_beside)]
    protocol: Literal["jsonl"] = "jsonl"
    audio: Audio = "path"
    timeout_s: float = 300.0
    files: list[SuitePath] = field(default_factory=list)
    batching: Literal["sequential", "padded"] = "sequential"

    def __post_init__(self) -> None:
        """Refuse a time in which nothing can be answered."""
        programs.check_timeout(self.timeout_s)

    @property
    def label(self) -> str:
        """The program's name, or that of the script that it runs, as part of a default name."""
        is_script = len(self.argv) > 1 and _is_file(Path(self.argv[1]))
        return Path(self.argv[int(is_script)]).name

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name,
            load=partial(_Program, self),
            check=self._check,
            unsupported=_unsupported,
            identity=self._identity,
        )

    def _check(self) -> None:
        """Refuse a program or a file that is not there, without starting anything."""
        programs.check_files(self.files)
        program = self.argv[0]
        if shutil.which(program) is None:
            if _is_file(Path(program)):
                how = f"`chmod +x` it, or name its interpreter first, such as [python3, {Path(program).name}]"
                raise MissingError(f"argv: {program} is not executable: {how}.")
            raise MissingError(f"argv: {program}: no such program beside the suite or on the PATH. Install it, or "
                               "correct `argv`.")  # fmt: skip

    def _identity(self) -> tuple[str, ...]:
        program = shutil.which(self.argv[0])
        if program is None:
            return ()
        parts: list[str | Path] = [Path(program)]
        for word in self.argv[1:]:
            option, value = _parted(word)
            parts += [option, Path(value) if _is_file(Path(value)) else value]
        return programs.identity("command", parts, self.files)


def _unsupported(_device: str) -> str | None:
    is_windows = os.name == "nt"
    return Inapplicable("command: Windows has no pipes that can be waited for; use http there") if is_windows else None


class _Program:
    """A program that has loaded."""

    footprint = Footprint()

    def __init__(self, settings: Command, device: str) -> None:
        self.batching: str = settings.batching
        self.child = Child(settings.argv, {**os.environ, programs.DEVICE: device}, settings.timeout_s)
        self.requests = Requests(settings.audio)

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        answer = self.child.ask(self.requests.request(batch))
        try:
            return self.requests.texts(answer, len(batch))
        except AnswerError as error:
            raise self.child.failed(f"gave a wrong answer: {error}") from error
