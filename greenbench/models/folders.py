"""What a model's folder must hold, and which of its files are not what their names say: seen without loading it."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, MissingError, StoreError
from greenbench.files import readback
from greenbench.files.pointers import LFS
from greenbench.models import edits
from greenbench.plugins import SAMPLE_RATE_HZ

TYPES = (
    "data2vec-audio", "hubert", "parakeet_ctc", "sew", "sew-d", "unispeech", "unispeech-sat", "wav2vec2",
    "wav2vec2-bert", "wav2vec2-conformer", "wavlm",
)  # fmt: skip
"""Model types that are measured, of those that transformers' ``AutoModelForCTC`` loads."""


@dataclass(frozen=True)
class ModelKind:
    """A kind of model that is measured.

    Attributes:
        name: as messages have it.
        types: of a configuration (``model_type``).
        has_head: whether it has weights for a head of its own, which a pre-trained model lacks.
    """

    name: str
    types: tuple[str, ...]
    has_head: bool


CTC = ModelKind("CTC model", TYPES, has_head=True)
SEQ2SEQ = ModelKind("sequence-to-sequence model", ("moonshine", "whisper"), has_head=False)
"""Of those that transformers' ``AutoModelForSpeechSeq2Seq`` loads; the head is the embedding of the tokens."""

FAMILIES = {"wav2vec2": CTC, "whisper": SEQ2SEQ}
"""Family of variants -> the models that it loads from transformers' folders."""

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Files of a model's weights, by preference, as transformers names them: not adapters, optimisers, or older steps."""

BESIDE: dict[str, tuple[tuple[str, ...], str]] = {
    "feature extractor": (
        ("preprocessor_config.json", "processor_config.json"),
        "AutoFeatureExtractor.from_pretrained('BASE').save_pretrained('{folder}')",
    ),
    "tokeniser": (
        ("vocab.json", "tokenizer.json", "vocab.txt"),
        "AutoTokenizer.from_pretrained('BASE').save_pretrained('{folder}')",
    ),
}
"""What a model does not run without: the files of which one must be there, and what writes it in transformers."""


def weights(folder: Path, kinds: Sequence[str] = WEIGHTS) -> list[Path]:
    """Return the weight files of a folder: those of the first kind that it has, which is what is loaded; [] if none."""
    return next(filter(None, (sorted(folder.glob(kind)) for kind in kinds)), [])


def check(label: str, folder: Path, kind: ModelKind = CTC) -> dict[str, Any]:
    """Refuse a folder that holds another kind of model, or not the whole of it.

    Args:
        label: names the model in the message.
        folder: to look into.
        kind: that it must be of.

    Returns:
        Its configuration, without its edits.

    Raises:
        InputError: it is a model of another kind, or of another sampling rate.
        MissingError: a file is missing, or not what its name says; one line with the remedy.
    """
    refused = f"model {label}: does not load as a {kind.name}: "
    if pointer := next(_pointers(folder), None):
        raise MissingError(f"{refused}{pointer} is a git-lfs pointer, not the file: run `git lfs pull` in {folder}.")
    if not (folder / "config.json").is_file():
        if _has(folder, "model.bin"):
            raise InputError(refused + _FOR_CTRANSLATE)
        raise MissingError(f"{refused}config.json is missing: {_in_a_subfolder(folder)}.")
    config = check_type(label, folder, kind)
    if problem := _of_weights(folder, kind):
        raise MissingError(f"{refused}{problem}.")
    for part, (names, how) in BESIDE.items():
        if not _has(folder, *names):
            raise MissingError(
                f"{refused}{names[0]} is missing: it has no {part}, as the checkpoints of a Trainer that was not given "
                f"it. Add that of the model it was trained from: {how.format(folder=folder)}."
            )
    _check_rate(label, folder)
    return config


def check_type(label: str, folder: Path, kind: ModelKind = CTC) -> dict[str, Any]:
    """Return a folder's configuration, and refuse one of models that are not measured.

    Raises:
        InputError: its type is another one; the message says which family is for it, if one is.
        MissingError: it is not there, or no JSON object, or its edits are damaged.
    """
    config, _ = parted(label, folder)
    model_type = config.get("model_type")
    if model_type in kind.types:
        return config
    refused = f"model {label}: does not load as a {kind.name}: "
    if model_type is None and "alignment_heads" in config:
        raise InputError(refused + _FOR_CTRANSLATE)
    other = next((family for family, of_family in FAMILIES.items() if model_type in of_family.types), None)
    if other:
        raise InputError(f"{refused}its config.json is of the type {model_type!r}: give `use: {other}`.")
    raise InputError(
        f"{refused}its config.json is of the type {model_type!r}. "
        f"greenbench measures {kind.name}s of the types {', '.join(kind.types)}."
    )


def family(label: str, folder: Path) -> str:
    """Return the family of variants that loads a folder, by the type that its configuration states.

    Raises:
        InputError: it holds no model of either kind, or of another sampling rate.
        MissingError: a file is missing or damaged.
    """
    stated = read_json(label, folder).get("model_type") if (folder / "config.json").is_file() else None
    use = next((use for use, kind in FAMILIES.items() if stated in kind.types), "wav2vec2")
    check(label, folder, FAMILIES[use])
    return use


def parted(label: str, folder: Path) -> tuple[dict[str, Any], edits.Structure | None]:
    """Return what the ``config.json`` of a folder's model says, and its edits.

    Raises:
        MissingError: it is not there or damaged, or the edits are.
    """
    try:
        return edits.parted(read_json(label, folder))
    except ValueError as error:
        raise MissingError(f"model {label}: config.json: {error}. Make or fetch it again.") from error


def read_json(label: str, folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return the object in a JSON file of a model's folder.

    Raises:
        MissingError: it is not there, or not valid; the message names model and file.
    """
    path = folder / name
    try:
        found = json.loads(readback.read_whole(path))
    except (StoreError, ValueError, RecursionError) as error:
        raise MissingError(f"model {label}: {name} is not valid JSON ({error}). Make or fetch it again.") from error
    if not isinstance(found, dict):
        raise MissingError(f"model {label}: {name} is no JSON object. Make or fetch it again.")
    return found


def _check_rate(label: str, folder: Path) -> None:
    """Refuse a feature extractor whose file says that it takes speech of another sampling rate."""
    names, _ = BESIDE["feature extractor"]
    settings = read_json(label, folder, next(name for name in names if _has(folder, name)))
    rate = settings.get("feature_extractor", settings).get("sampling_rate", SAMPLE_RATE_HZ)
    if rate != SAMPLE_RATE_HZ:
        raise InputError(of_another_rate(label, rate))


def of_another_rate(label: str, rate: int) -> str:
    """Return the message of a model whose feature extractor takes speech of another sampling rate in Hz."""
    takes = f"model {label}: its feature extractor takes speech of {rate} Hz"
    return f"{takes}; only models of {SAMPLE_RATE_HZ} Hz can be measured."


_FOR_CTRANSLATE = "it is a Whisper model of CTranslate2: give `use: faster-whisper`, with `model` the folder."


def _has(folder: Path, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def _pointers(folder: Path) -> Iterator[str]:
    for path in [*weights(folder), *sorted(folder.glob("*.json")), *sorted(folder.glob("*.txt"))]:
        if path.is_file() and path.stat().st_size < 1024 and path.read_bytes().startswith(LFS):
            yield path.name


def _in_a_subfolder(folder: Path) -> str:
    """Say where the model may be instead: a Trainer's folder keeps its checkpoints one level down."""
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    return f"give {folder / below[-1]}, which has one" if below else "save the model there with `save_pretrained`"


def _of_weights(folder: Path, kind: ModelKind) -> str | None:
    """Say which weight file is missing or cut; None where all are whole as far as their headers tell."""
    files = weights(folder)
    for index in sorted(folder.glob(f"*{files[0].suffix if files else ''}.index.json")):
        lost = [name for name in _shards(index) if not (folder / name).is_file()]
        if lost:
            return f"{lost[0]} is missing, which {index.name} names ({len(lost)} are): fetch the model again"
    if not files:
        return f"{' or '.join(WEIGHTS)} is missing: save the model there with `save_pretrained`"
    if cut := [path for path in files if not _is_whole(path)]:
        return f"{cut[0].name} is cut short or damaged: make or fetch it again"
    if kind.has_head and not _has_head(files):
        return "no weights for a head, so it is not fine-tuned for CTC: name a fine-tuned one"
    return None


def _has_head(files: Sequence[Path]) -> bool:
    """Say whether weights have a head of letters; of pickles, which are not opened here, it is supposed."""
    from safetensors import safe_open

    if files[0].suffix != ".safetensors":
        return True
    for path in files:
        with safe_open(path, framework="np") as tensors:
            if any(name.partition(".")[0].endswith("_head") for name in tensors.keys()):  # noqa: SIM118
                return True
    return False


def _shards(index: Path) -> Sequence[str]:
    try:
        return sorted(set(json.loads(readback.read_whole(index))["weight_map"].values()))
    except (StoreError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return [index.name + " with a weight_map"]


def _is_whole(path: Path) -> bool:
    """Say whether a weight file ends where its own header or directory says."""
    if path.suffix != ".safetensors":
        with path.open("rb") as file:
            return zipfile.is_zipfile(path) or file.read(2) not in (b"PK", b"")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            return True
    except (SafetensorError, OSError):
        return False
