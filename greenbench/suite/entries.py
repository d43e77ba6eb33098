"""An entry of a suite or a recipe: a plug-in by name with its settings, and the data set or variant it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from greenbench import registry
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.corruptions import Corrupted, Corruption
from greenbench.datasets.lengths import bucket, bucket_name
from greenbench.datasets.terms import Clips, listed, with_terms
from greenbench.errors import InputError, did_you_mean
from greenbench.plugins import TRANSCRIBE, Asks, Compressible, Dataset, Step, Variant, VariantFamily
from greenbench.suite import corrupted

MOST = 1_000_000_000
"""Utterances that a limit may ask for: more than any data set has."""


def _is_none(value: Any) -> bool:
    return value is None


NoiseRatio = Annotated[float, Field(ge=-40, le=80)]
NoiseRatios = Annotated[list[NoiseRatio | None], Field(min_length=1)]
"""Of powers, in dB; None is no noise."""


class PluginEntry(BaseModel):
    """A plug-in by name; every key that is not declared here is one of the plug-in's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str
    name: str | None = Field(default=None, min_length=1)

    @property
    def settings(self) -> dict[str, Any]:
        """The plug-in's settings as the suite gives them."""
        return dict(self.model_extra or {})


class DatasetEntry(PluginEntry):
    """Where utterances come from.

    Attributes:
        use: name of a registered data set.
        name: name in the column ``dataset``; by default the data set names itself.
        limit: take only the first N utterances; the name then says so. With ``length_buckets`` N utterances are taken
            evenly from the shortest to the longest.
        length_buckets: number of equal parts into which the data set is cut by length, each a data set of its own; four
            are called short, medium, long and longer.
        length_bucket: take only this part, counted from 1 for the shortest.
        on_bad_audio: ``fail`` stops the cell at a bad file, ``skip`` counts it in the row.
        terms: words and phrases whose recall is reported (``term_recall``): a text file with one per line, or a list.
        speed: factor by which the speech is played faster, with a higher pitch, like a tape.
        rt60_s: put the speech into a simulated room, whose sound decays by 60 dB in so many seconds.
        rir: put the speech into measured rooms: a folder with impulse responses, of which each utterance gets one.
        noise_snr_db: add noise at this ratio, in dB, of each utterance's power to that of the noise. A list makes a
            data set of each ratio, and of ``null`` the one without noise.
        noise: ``white``, ``pink``, ``babble`` of six other utterances of the data set, or a folder with recordings, of
            which each utterance gets a part of one.
        noise_seed: seed of noise and rooms, together with the utterance's id.
        gain_db: change of the level in dB; what exceeds full scale is clipped.
        telephone: pass the speech through a telephone line: 300 to 3400 Hz, 8000 samples a second, 8 bits.
    """

    limit: int | None = Field(None, ge=1, le=MOST)
    length_buckets: int | None = Field(None, ge=2, le=1_000)
    length_bucket: int | None = Field(None, ge=1)
    on_bad_audio: Literal["fail", "skip"] = "fail"
    terms: str | list[str] | None = Field(None, exclude_if=_is_none)
    speed: float | None = Field(None, ge=0.5, le=2, exclude_if=_is_none)
    rt60_s: float | None = Field(None, gt=0, le=10, exclude_if=_is_none)
    rir: str | None = Field(None, min_length=1, exclude_if=_is_none)
    noise_snr_db: NoiseRatio | NoiseRatios | None = Field(None, exclude_if=_is_none)
    noise: str = Field("white", min_length=1, exclude_if=lambda noise: noise == "white")
    noise_seed: int = Field(0, ge=0, exclude_if=lambda seed: seed == 0)
    gain_db: float | None = Field(None, ge=-60, le=60, exclude_if=_is_none)
    telephone: bool = Field(default=False, exclude_if=lambda given: not given)

    @model_validator(mode="after")
    def _can_be(self) -> "DatasetEntry":
        """Refuse corruptions that do not go together."""
        if problem := corrupted.problem(self.model_dump()):
            raise ValueError(problem)
        return self

    @property
    def corruption(self) -> Corruption:
        """What is done to the audio.

        Raises:
            InputError: the entry is several data sets.
        """
        if isinstance(self.noise_snr_db, list):
            raise InputError("noise_snr_db: a list makes several data sets; here one is expected: give one number")
        return Corruption(**{one.name: getattr(self, one.name) for one in fields(Corruption)})


class Build(PluginEntry):
    """A method chained onto a variant, by name or with its settings."""

    @property
    def label(self) -> str:
        """The method in a name: ``int8-dynamic``, ``layer-drop(keep=4)``."""
        given = ",".join(f"{key}={_short(value)}" for key, value in self.settings.items())
        return self.name or (f"{self.use}({given})" if given else self.use)


def names_plugin(value: Any) -> bool:
    """Whether a setting is a plug-in with settings of its own, such as a data set."""
    return isinstance(value, Mapping) and "use" in value


def _short(value: Any) -> Any:
    return value["use"] if names_plugin(value) else value


def _by_name(given: Any) -> Any:
    return (
        [{"use": build} if isinstance(build, str) else build for build in given] if isinstance(given, list) else given
    )


Builds = Annotated[list[Build], BeforeValidator(_by_name)]
"""Methods in order, each by name or with settings."""


class VariantEntry(PluginEntry):
    """What to measure.

    Attributes:
        use: a registered family (``wav2vec2``) or one of its presets (``wav2vec2/base-960h``).
        name: name in the column ``variant``; by default made from ``use`` and the builds.
        builds: registered methods chained on, in order, by name or with settings.
        teacher: the variant that a student made elsewhere comes from, by its name in the suite or its registered name;
            what the student's own files say goes before it.
    """

    builds: Builds = []
    teacher: str | None = Field(default=None, min_length=1, exclude_if=_is_none)

    @model_validator(mode="before")
    @classmethod
    def _without_alternatives(cls, given: Any) -> Any:
        """Refuse an ``each`` that could not be expanded."""
        if isinstance(given, Mapping) and "each" in given:
            wanted = "a list of builds is expected, e.g. [fp32, onnx]"
            raise ValueError(f"each: {wanted} (got {given['each']!r:.60})")
        return given


def build_dataset(entry: DatasetEntry, base: Path | None = None) -> Dataset:
    """Create the data set that an entry asks for."""
    dataset: Dataset = registry.create("datasets", entry.use, entry.settings, base)
    return dataset


def build_variant(entry: VariantEntry, base: Path | None = None) -> Variant:
    """Create the variant that an entry asks for, its builds chained on."""
    return _variant(entry, build_family(entry, base), base)


def _variant(entry: VariantEntry, family: VariantFamily, base: Path | None = None) -> Variant:
    """Chain an entry's builds onto its family's settings, and name the result."""
    if entry.builds and not family.takes_builds:
        kind = entry.use.partition("/")[0]
        raise InputError(f"builds: {kind} variants take none; its own settings choose the precision")
    return family(entry.name or _variant_name(entry, family.label), chain(entry.builds, base))


def chain(builds: Sequence[Build], base: Path | None = None) -> list[tuple[str, Step]]:
    """Create the methods of a chain, each with its label.

    Args:
        builds: of an entry.
        base: folder that relative paths are tried against first.

    Raises:
        InputError: an unknown method or setting.
    """
    return [(build.label, registry.create("methods", build.use, build.settings, base)) for build in builds]


def build_family(entry: VariantEntry, base: Path | None = None) -> VariantFamily:
    """Create the settings of ``family`` or ``family/preset``, the preset's merged with the entry's own."""
    name, slash, preset = entry.use.partition("/")
    if slash and name not in registry.names("variants"):
        raise InputError(_not_registered(entry.use))
    if slash and entry.use not in presets(name):
        raise InputError(f"unknown variant '{entry.use}'. {did_you_mean(entry.use, presets(name))}")
    given = registry.load("variants", name).presets[preset] if slash else {}
    family: VariantFamily = registry.create("variants", name, {**given, **entry.settings}, base)
    return family


def _not_registered(use: str) -> str:
    """Say what to write for a name with a slash that is no registered one: a model of the hub, or a folder."""
    if get_close_matches(use.partition("/")[0], registry.names("variants"), n=1, cutoff=0.6):
        return f"unknown variant '{use}'. {did_you_mean(use, registered())}"
    how = f"a folder is file:{use}, a model of the hub {{use: wav2vec2, model: {use}}}"
    return f"unknown variant '{use}'. For one that is not registered: {how}"


def _variant_name(entry: VariantEntry, label: str) -> str:
    stem = entry.use if "/" in entry.use else f"{entry.use}:{label}"
    return "+".join([stem, *(build.label for build in entry.builds)])


def resolve_dataset(entry: DatasetEntry, base: Path) -> list[dict[str, Any]]:
    """Resolve an entry to one data set, or to each of its ratios of noise and its length buckets."""
    dataset = build_dataset(entry, base)
    terms = {} if entry.terms is None else {"terms": listed(entry.terms, base)}
    resolved = []
    for each in corrupted.each(entry.model_dump(), base):
        plain = DatasetEntry(**each)
        done = f"({plain.corruption.label})" if plain.corruption.label else ""
        named = plain.name and f"{plain.name}{done}" if isinstance(entry.noise_snr_db, list) else plain.name
        one = plain.model_copy(update={"name": named})
        given = {**one.model_dump(), **registry.settings(dataset), **terms}
        names = {n: _dataset_name(one, f"{dataset.label}{done}", n) for n in _buckets(one)}
        resolved += [{**given, "length_bucket": n, "name": name} for n, name in names.items()]
    return resolved


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
    builds = [resolve_build(build, base) for build in entry.builds]
    name = _variant(entry, family, base).name
    return [{**entry.model_dump(), **registry.settings(family), "builds": builds, "name": name}]


def resolve_aligner(entry: VariantEntry, base: Path) -> VariantEntry:
    """Return the resolved entry of a model that aligns words.

    Raises:
        InputError: it is none, or has builds.
    """
    if not isinstance(build_family(entry, base), Compressible) or entry.builds:
        raise InputError("name a variant of wav2vec2 without builds, e.g. wav2vec2/quickstart")
    return VariantEntry.model_validate(resolve_variant(entry, base)[0])


def resolve_build(build: Build, base: Path) -> dict[str, Any]:
    """Resolve a build: the data sets among its settings mean the same from any folder then."""
    settings = registry.settings(registry.create("methods", build.use, build.settings, base))
    plugins = {key: settings[key] for key in build.settings if names_plugin(settings[key])}
    return {**build.model_dump(), **plugins}


def is_registered(name: str) -> bool:
    """Say whether a variant is registered; no other family than its own is imported."""
    family = name.partition("/")[0]
    return family in registry.names("variants") and name in presets(family)


def registered() -> list[str]:
    """Return the names of all registered variants: ``family/preset``."""
    return [name for family in registry.names("variants") for name in presets(family)]


def presets(family: str) -> list[str]:
    """Return the registered variants of a family: ``family/preset``."""
    return [f"{family}/{preset}" for preset in registry.load("variants", family).presets]


def task_of(use: str) -> str:
    """Return the name of the task that a registered data set is for; only its plug-in is imported."""
    kind = registry.load("datasets", use)
    return kind.task if isinstance(kind, Asks) else TRANSCRIBE


def corpus_of(entry: DatasetEntry) -> Corpus:
    """Return the utterances that a resolved entry asks for: the first ones, or one part of them by length."""
    dataset = build_dataset(entry)
    clips: Clips = Corrupted(dataset, entry.corruption) if entry.corruption.label else dataset
    clips = clips if entry.terms is None else with_terms(clips, listed(entry.terms))
    is_said = task_of(entry.use) == TRANSCRIBE
    if entry.length_buckets is None or entry.length_bucket is None:
        return Corpus(clips, entry.limit, entry.on_bad_audio, has_transcripts=is_said)
    part = bucket(clips, entry.length_bucket, entry.length_buckets, entry.limit)
    return Corpus(part, None, entry.on_bad_audio, has_transcripts=is_said)
