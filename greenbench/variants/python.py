"""The Python family: a function from waveforms to texts, in a module beside the suite or an installed one."""

import importlib
import importlib.util
import os
import symtable
import sys
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from greenbench.errors import InputError, did_you_mean
from greenbench.plugins import Footprint, Step, SuitePath, Variant, Waveform
from greenbench.plugins.paths import beside
from greenbench.variants import programs

_DYNAMIC = ("import *", "__getattr__", "globals()")
"""What binds names that only running a module tells."""


def _by_file(call: str, info: ValidationInfo) -> str:
    """Name a module by its file where it lies beside the suite or in the working directory."""
    where, _, function = call.rpartition(":")
    if not where or not function.isidentifier():
        raise ValueError("a module and a function are expected, such as my_module:transcribe")
    base = (info.context or {}).get("base")
    if base is None:
        return call
    if where.endswith(".py"):
        return f"{beside(Path(where), base)}:{function}"
    stem = Path(*where.split("."))
    files = [beside(file, base) for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py")]
    return f"{next((str(file) for file in files if file.is_file()), where)}:{function}"


@dataclass(frozen=True)
class Python(programs.ProgramFamily):
    """Settings of a Python function that transcribes.

    Attributes:
        call: ``module:function``. The module is a file beside the suite, or one that Python finds; the function takes a
            list of waveforms (float32, mono, 16 kHz) and returns a list with the text of each.
        files: further files that decide what it answers, such as weights: their content is a part of its identity.
        batching: how it runs a batch: ``sequential`` (one after the other) or ``padded`` (together).
    """

    call: Annotated[str, AfterValidator(_by_file)]
    files: list[SuitePath] = field(default_factory=list)
    batching: Literal["sequential", "padded"] = "sequential"

    @property
    def label(self) -> str:
        """Module and function, as part of a default name."""
        return f"{_name(self._where)}:{self._function}"

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(name=name, load=partial(_Function, self), check=self._check, identity=self._identity)

    @property
    def _where(self) -> str:
        return self.call.rpartition(":")[0]

    @property
    def _function(self) -> str:
        return self.call.rpartition(":")[2]

    def _check(self) -> None:
        """Refuse a module or a function that is not there, without importing anything."""
        programs.check_files(self.files)
        file = _file(self._where)
        names = _names(file) if file is not None else None
        if names is not None and self._function not in names:
            raise _no_function(_name(self._where), self._function, names)

    def _identity(self) -> tuple[str, ...]:
        file = _file(self._where)
        return programs.identity("python", [file or self._where, self._function], self.files)


class _Function:
    """A loaded function, called as it is."""

    footprint = Footprint()

    def __init__(self, settings: Python, device: str) -> None:
        os.environ[programs.DEVICE] = device
        where, _, function = settings.call.rpartition(":")
        self.function = _imported(where, function)
        self.batching: str = settings.batching

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        texts: list[str] = self.function(list(batch))
        return texts


# --- the module ------------------------------------------------------------------------------------------


def _name(where: str) -> str:
    """Return the name that a module is imported by: that of its file, with those of the packages that it is in."""
    return _place(Path(where))[1] if where.endswith(".py") else where


def _place(file: Path) -> tuple[Path, str]:
    """Return the folder from which a file is imported, and by which name."""
    parts, folder = [] if file.stem == "__init__" else [file.stem], file.parent
    while (folder / "__init__.py").is_file():
        parts, folder = [folder.name, *parts], folder.parent
    return folder, ".".join(parts)


def _file(where: str) -> Path | None:
    """Return the source of a module; None where it has none that can be read.

    Raises:
        InputError: there is no such module.
    """
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise InputError(f"call: {where}: no such file. Correct `call`.")
        return Path(where)
    spec = _spec(where)
    if spec is None:
        remedy = f"Put {where.replace('.', '/')}.py beside the suite, install it, or correct `call`."
        raise InputError(f"call: there is no module '{where}' beside the suite or on Python's path. {remedy}")
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _spec(name: str) -> ModuleSpec | None:
    """Find a module that is not beside the suite; neither it nor a package that it is in is imported."""
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # of a module such as __main__, which is not one to import
        return None
    for number in range(len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([first, *rest[: number + 1]]), spec.submodule_search_locations)
    return spec


def _names(file: Path) -> list[str] | None:
    """Return the names that a module binds; None where only running it tells.

    Raises:
        InputError: it is not Python.
    """
    try:
        with tokenize.open(file) as stream:
            text = stream.read()
        table = symtable.symtable(text, str(file), "exec")
    except SyntaxError as error:
        raise InputError(f"call: {file}:{error.lineno or 1}: not valid Python: {error.msg}") from error
    except ValueError as error:
        raise InputError(f"call: {file}: not valid Python: {error}") from error
    if any(sign in text for sign in _DYNAMIC):
        return None
    return [one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()]


def _imported(where: str, function: str) -> Callable[[list[Waveform]], list[str]]:
    """Import a function.

    Raises:
        InputError: another module of that name is loaded, or it has no such function.
    """
    name = _name(where)
    if where.endswith(".py"):
        sys.path.insert(0, str(_place(Path(where))[0]))
    module = importlib.import_module(name)
    loaded = Path(module.__file__ or "")
    if where.endswith(".py") and loaded.resolve() != Path(where).resolve():
        raise InputError(f"call: {where}: Python finds another module '{name}' ({loaded}). Rename the file.")
    found = getattr(module, function, None)
    if not callable(found):
        raise _no_function(name, function, dir(module))
    of_module: Callable[[list[Waveform]], list[str]] = found
    return of_module


def _no_function(module: str, function: str, names: Sequence[str]) -> InputError:
    valid = [name for name in names if not name.startswith("_")]
    return InputError(f"call: {module} has no function '{function}'. {did_you_mean(function, valid)}")
