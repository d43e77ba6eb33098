"""Weights that an installed Python package brings: found by the package's files, without importing it."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from greenbench import extras


@dataclass(frozen=True)
class Packaged:
    """A model within an installed package.

    Attributes:
        package: its name on PyPI.
        module: the module that it installs.
        inside: the model's folder below the module's.
    """

    package: str
    module: str
    inside: str

    @property
    def folder(self) -> Path | None:
        """The model's folder; None where the package is not installed, or has no such folder."""
        spec = find_spec(self.module) if extras.is_installed(self.module) else None
        places = (spec and spec.submodule_search_locations) or ()
        return next((Path(place, self.inside) for place in places if Path(place, self.inside).is_dir()), None)

    def __str__(self) -> str:
        """Return the package and its version as they stand in a row: ``moonshine-voice 0.0.73``."""
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return self.package
