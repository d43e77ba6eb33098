"""How weights are fetched: a folder as it is, a hub id through the hub's cache, with one clear line if neither is."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from greenbench import cache, extras
from greenbench.errors import MissingError
from greenbench.models import folders
from greenbench.models.folders import WEIGHTS

BESIDE = ("*.json", "*.txt")
"""What is fetched with them: configuration, vocabulary, feature extractor."""

_CTC = (("config.json",), *(names for names, _ in folders.BESIDE.values()))

NEEDS: Mapping[str, Sequence[Sequence[str]]] = {
    **dict.fromkeys(WEIGHTS, _CTC),
    "model.bin": (("config.json",), ("tokenizer.json",)),
}
"""What a model with weights of a kind does not load without: one file of each list."""


def fetch(model: str, revision: str | None = None, kinds: Sequence[str] = WEIGHTS) -> Path:
    """Return the folder of a model, downloading it into the hub's cache if it is not here.

    What is whole in the cache is taken without asking the hub, so that a run needs no network twice. What is there in
    part, since another program fetched it or a file was lost, is completed.

    Args:
        model: a folder or a hub id.
        revision: branch, tag or commit on the hub; None is the default branch.
        kinds: file patterns by preference, of which the model must have one.

    Raises:
        MissingError: no such folder, no such repository, nothing of these kinds in it, or no network; one line
            with the remedy.
    """
    if Path(model).is_dir():
        return Path(model)
    if _is_path(model):
        raise _no_such(model)
    folder = _cached(model, revision, kinds) or _downloaded(model, revision, kinds)
    if folder is None:
        raise MissingError(f"model {model}: its repository has no {' or '.join(kinds)}. Name another model.")
    return folder


def is_here(model: str, revision: str | None = None) -> bool:
    """Say whether a model's weights are on this machine, without asking the hub.

    Raises:
        MissingError: ``model`` is neither a folder nor a hub id.
    """
    return Path(model).is_dir() or _cached(model, revision, WEIGHTS) is not None


def to_fetch(model: str, revision: str | None = None, kinds: Sequence[str] = WEIGHTS) -> str | None:
    """Say what ``fetch`` would download; None where the model is here, or cannot be fetched at all.

    Args:
        model: a folder or a hub id.
        revision: as ``fetch`` takes it.
        kinds: file patterns by preference.
    """
    if Path(model).is_dir() or _is_path(model) or _cached(model, revision, kinds) is not None:
        return None
    return f"{model} from the Hugging Face hub, since it is neither a folder here nor in the hub's cache"


def _is_path(model: str) -> bool:
    """Say whether a model can only be a folder: a hub id is an owner and a name."""
    return model.startswith((".", "/", "~")) or model.count("/") != 1


def here(model: str, revision: str | None = None, kinds: Sequence[str] = WEIGHTS) -> Path | None:
    """Return the folder of a model without downloading anything; None where it is still to be fetched.

    Args:
        model: a folder or a hub id.
        revision: as ``fetch`` takes it.
        kinds: of the weights, by preference.

    Raises:
        MissingError: there is no such folder.
    """
    if _is_path(model) and not Path(model).is_dir():
        raise _no_such(model)
    return Path(model) if Path(model).is_dir() else _cached(model, revision, kinds)


def identity(model: str, revision: str | None = None, kinds: Sequence[str] = WEIGHTS) -> tuple[str, ...]:
    """Return what tells a model's weights from others wherever they lie; empty where they are not on this machine.

    Args:
        model: a folder or a hub id.
        revision: as ``fetch`` takes it.
        kinds: file patterns by preference, the first of which that the model has is what is loaded.

    Raises:
        MissingError: ``model`` is neither a folder nor a hub id.
    """
    folder = Path(model) if Path(model).is_dir() else _cached(model, revision, kinds)
    return identity_of(folders.weights(folder, kinds) if folder else [])


def identity_of(files: Sequence[Path]) -> tuple[str, ...]:
    """Return what tells weights in some files from others; empty where there are none."""
    digests = "".join(cache.digest(file) for file in files)
    return (f"weights:{hashlib.sha256(digests.encode()).hexdigest()[:32]}",) if files else ()


def _cached(model: str, revision: str | None, kinds: Sequence[str]) -> Path | None:
    """Return what the hub's cache holds of a model; None where that is nothing, or not whole."""
    folder = _local(model, revision, kinds)
    return None if folder is None or lack(folder, kinds) else folder


def _local(model: str, revision: str | None, kinds: Sequence[str]) -> Path | None:
    if not _has_client():
        return None  # what is in the hub's cache is not known, and nothing that needs it can run
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return _snapshot(model, revision, kinds)
    except HFValidationError as error:
        raise MissingError(f"model {model}: neither a folder nor a hub id (owner/name). Correct `model`.") from error
    except LocalEntryNotFoundError:
        return None


def _part(model: str, revision: str | None) -> Path | None:
    """Return a snapshot that has a configuration at least."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def lack(folder: Path, kinds: Sequence[str]) -> str | None:
    """Say which file of a snapshot is missing or damaged; None where it is whole.

    Args:
        folder: of the hub's cache, whose larger files are links to blobs that are named by their SHA-256.
        kinds: of the weights, by preference.
    """
    names = sorted(path.name for path in folder.iterdir())
    kind = next((kind for kind in kinds if fnmatch.filter(names, kind)), kinds[0])
    fetched = [name for pattern in (*BESIDE, kind) for name in fnmatch.filter(names, pattern)]
    lost = [name for name in fetched if not (folder / name).exists()]
    missing = [files[0] for files in NEEDS.get(kind, ()) if not any((folder / name).is_file() for name in files)]
    if lost or missing:
        return f"{(lost or missing)[0]} is missing"
    damaged = [name for name in fnmatch.filter(names, kind) if not _is_its_blob(folder / name)]
    return f"{damaged[0]} is damaged" if damaged else None


def _is_its_blob(path: Path) -> bool:
    blob = path.resolve()
    return blob.parent.name != "blobs" or not re.fullmatch("[0-9a-f]{64}", blob.name) or cache.digest(blob) == blob.name


def _has_client() -> bool:
    return not (extras.missing(["torch"]) and extras.missing(["whisper"]))


def _downloaded(model: str, revision: str | None, kinds: Sequence[str]) -> Path | None:
    if not _has_client():
        extras.need("torch")
    from huggingface_hub.errors import LocalEntryNotFoundError

    partial = _local(model, revision, kinds) or _part(model, revision)
    problem = None if partial is None else lack(partial, kinds)
    try:
        return _snapshot(model, revision, kinds, local_files_only=False, force_download="damaged" in (problem or ""))
    except Exception as error:  # the hub client passes on errors of whichever HTTP library it is built upon
        wrapped = isinstance(error, LocalEntryNotFoundError) and error.__cause__
        cause = wrapped or error
        which = f"{model}, revision {revision}" if revision else model
        here = f"in the local hub cache {problem}" if problem else f"{_no_folder(model)}not in the local hub cache"
        raise MissingError(
            f"model {which}: {here}, and {_why_not(cause)}. Fetch it where there is a network "
            f"(`hf download {model}`), or point `model` at a folder."
        ) from error


def _why_not(cause: BaseException) -> str:
    """Say why the hub did not give a model, in the words of its client."""
    if type(cause).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE keeps it from being fetched"
    return f"the hub did not give it ({type(cause).__name__}: {' '.join(str(cause).split()):.120})"


def _no_such(model: str) -> MissingError:
    """Return the error of a folder that is not there."""
    what = _no_folder(model).removesuffix(", ") or "no such folder"
    return MissingError(f"model {model}: {what}. Correct `model` (a folder, or a hub id: owner/name).")


def _no_folder(model: str) -> str:
    """Say that a model is no folder where it may be meant as one, since the folder that it would be in is here."""
    path = Path(model)
    if "/" not in model or not path.parent.is_dir():
        return ""
    close = get_close_matches(str(path), [str(found) for found in path.parent.iterdir() if found.is_dir()], n=1)
    return f"no such folder{f' (did you mean {close[0]}?)' if close else ''}, "


def _snapshot(
    model: str, revision: str | None, kinds: Sequence[str], local_files_only: bool = True, force_download: bool = False
) -> Path | None:
    """Return the snapshot with the first of ``kinds`` that the repository has, or None if it has none."""
    from huggingface_hub import snapshot_download

    for kind in kinds:
        found = snapshot_download(
            model,
            revision=revision,
            allow_patterns=[*BESIDE, kind],
            local_files_only=local_files_only,
            force_download=force_download,
        )
        folder = Path(found)
        if next(folder.glob(kind), None):
            return folder
    return None
