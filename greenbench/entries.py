"""An entry of a suite or a recipe: a plug-in by name with its settings, and the data set or variant it comes to."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from greenbench import registry
from greenbench.datasets.lengths import bucket_name
from greenbench.errors import InputError, did_you_mean
from greenbench.plugins import Dataset, Variant, VariantFamily


class Entry(BaseModel):
    """A plug-in by name; every key that is not declared here is one of the plug-in's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str
    name: str | None = Field(default=None, min_length=1)

    @property
    def settings(self) -> dict[str, Any]:
        """The plug-in's settings as the suite gives them."""
        return dict(self.model_extra or {})


class DatasetEntry(Entry):
    """Where utterances come from.

    Attributes:
        use: a registered data set.
        name: the ``dataset`` column; by default the data set names itself.
        limit: take only the first so many utterances; the name then says so. With ``length_buckets`` so many are
            taken evenly from the shortest to the longest.
        length_buckets: cut the data set by length into so many equal parts, each a data set of its own; four are
            called short, medium, long and longer.
        length_bucket: take one of the parts only, from 1 for the shortest.
        on_bad_audio: ``fail`` stops the cell at a bad file, ``skip`` counts it in the row.
    """

    limit: int | None = Field(None, ge=1)
    length_buckets: int | None = Field(None, ge=2)
    length_bucket: int | None = Field(None, ge=1)
    on_bad_audio: Literal["fail", "skip"] = "fail"


class Build(Entry):
    """A method chained onto a variant, by name or with its settings."""

    @property
    def label(self) -> str:
        """The method in a name: ``int8-dynamic``, ``layer-drop(keep=4)``."""
        given = ",".join(f"{key}={value}" for key, value in self.settings.items())
        return self.name or (f"{self.use}({given})" if given else self.use)


def _by_name(given: Any) -> Any:
    return (
        [{"use": build} if isinstance(build, str) else build for build in given] if isinstance(given, list) else given
    )


Builds = Annotated[list[Build], BeforeValidator(_by_name)]
"""Methods in order, each by name or with settings."""


class VariantEntry(Entry):
    """What to measure.

    Attributes:
        use: a registered family (``wav2vec2``) or one of its presets (``wav2vec2/base-960h``).
        name: the ``variant`` column; by default made from ``use`` and the builds.
        builds: registered methods chained on, in order, by name or with settings.
    """

    builds: Builds = []


def build_dataset(entry: DatasetEntry, base: Path | None = None) -> Dataset:
    """Create the data set that an entry asks for."""
    dataset: Dataset = registry.create("datasets", entry.use, entry.settings, base)
    return dataset


def build_variant(entry: VariantEntry, base: Path | None = None) -> Variant:
    """Create the variant that an entry asks for, its builds chained on."""
    return _variant(entry, build_family(entry, base))


def _variant(entry: VariantEntry, family: VariantFamily) -> Variant:
    """Chain an entry's builds onto its family's settings, and name the result."""
    if entry.builds and not family.takes_builds:
        kind = entry.use.partition("/")[0]
        raise InputError(f"builds: {kind} variants take none; its own settings choose the precision")
    methods = [(build.label, registry.create("methods", build.use, build.settings)) for build in entry.builds]
    return family(entry.name or _variant_name(entry, family.label), methods)


def build_family(entry: VariantEntry, base: Path | None = None) -> VariantFamily:
    """Create the settings of ``family`` or ``family/preset``, the preset's merged with the entry's own."""
    name, slash, preset = entry.use.partition("/")
    presets = registry.load("variants", name).presets if slash else {}
    if slash and preset not in presets:
        valid = [f"{name}/{known}" for known in presets]
        raise InputError(f"unknown variant '{entry.use}'. {did_you_mean(entry.use, valid)}")
    family: VariantFamily = registry.create("variants", name, {**presets.get(preset, {}), **entry.settings}, base)
    return family


def _variant_name(entry: VariantEntry, label: str) -> str:
    stem = entry.use if "/" in entry.use else f"{entry.use}:{label}"
    return "+".join([stem, *(build.label for build in entry.builds)])


def resolve_dataset(entry: DatasetEntry, base: Path) -> list[dict[str, Any]]:
    """Resolve an entry to one data set, or to each of its length buckets."""
    dataset = build_dataset(entry, base)
    given = {**entry.model_dump(), **registry.settings(dataset)}
    return [{**given, "length_bucket": n, "name": _dataset_name(entry, dataset.label, n)} for n in _buckets(entry)]


def _buckets(entry: DatasetEntry) -> list[int | None]:
    n, one = entry.length_buckets, entry.length_bucket
    if one and one > (n or 0):
        raise InputError(f"length_bucket: {one} is not among {n or 'no'} length_buckets")
    return [one] if one or not n else [*range(1, n + 1)]


def _dataset_name(entry: DatasetEntry, label: str, bucket: int | None) -> str:
    if entry.name and bucket == entry.length_bucket:
        return entry.name
    if bucket is None or entry.length_buckets is None:
        return label + (f"[:{entry.limit}]" if entry.limit else "")
    of_all = f" of {entry.limit}" if entry.limit else ""
    return f"{entry.name or label}/{bucket_name(bucket, entry.length_buckets)}{of_all}"


def resolve_variant(entry: VariantEntry, base: Path) -> list[dict[str, Any]]:
    """Resolve an entry to the one variant that it is, whose paths then mean the same from any folder."""
    family = build_family(entry, base)
    return [{**entry.model_dump(), **registry.settings(family), "name": _variant(entry, family).name}]
