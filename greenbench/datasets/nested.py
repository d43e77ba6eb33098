"""A setting that names a data set: within another data set, or of a method that calibrates."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from greenbench import registry
from greenbench.errors import GreenbenchError
from greenbench.plugins import Dataset, Fetched


def _long_form(given: Any) -> Any:
    return {"use": given} if isinstance(given, str) else given


def _resolved(given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    """Check every key, and make paths mean the same from any folder.

    Raises:
        ValueError: no such data set or setting.
    """
    if not isinstance(use := given.get("use"), str):
        raise ValueError("a data set is expected: its name, or {use: NAME, ...} with its settings")  # noqa: TRY004
    options = {key: value for key, value in given.items() if key != "use"}
    try:
        dataset = registry.create("datasets", use, options, (info.context or {}).get("base"))
    except GreenbenchError as error:
        raise ValueError(str(error)) from error
    settings = registry.settings(dataset)
    return {"use": use, **{key: settings[key] for key in options}}


NamedSpeech = Annotated[
    Mapping[str, Any],
    BeforeValidator(_long_form),
    AfterValidator(_resolved),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "required": ["use"]}]}),
]
"""A setting that names a data set as a suite does: by its name, or as ``{use: NAME, ...}`` with its settings."""


def dataset(speech: Mapping[str, Any]) -> Dataset:
    """Return the data set of a setting."""
    found: Dataset = registry.create("datasets", speech["use"], {k: v for k, v in speech.items() if k != "use"})
    return found


class MadeOfSpeech:
    """A data set that asks something about the speech of another one.

    Attributes:
        of: that data set, by its name or as ``{use: NAME, ...}``.
        made: what is made of it, for the name in rows.
    """

    of: NamedSpeech
    made: ClassVar[str]

    @property
    def _speech(self) -> Dataset:
        return dataset(self.of)

    @property
    def label(self) -> str:
        """The default name of the data set in rows."""
        return f"{self.made}({self._speech.label})"

    def to_fetch(self) -> str | None:
        """Describe what would be downloaded of the other data set."""
        speech = self._speech
        return speech.to_fetch() if isinstance(speech, Fetched) else None

    def prepare(self) -> None:
        """Make the other data set available."""
        self._speech.prepare()
