"""How weights are fetched: a folder as it is, a hub id through the hub's cache, with one clear line if neither is."""

from collections.abc import Sequence
from pathlib import Path

from greenbench.errors import MissingError

WEIGHTS = ("*.safetensors", "*.bin")
"""Weight files by preference; only the first kind that a repository has is fetched."""

BESIDE = ("*.json", "*.txt")
"""What is fetched with them: configuration, vocabulary, feature extractor."""


def fetch(model: str, revision: str | None = None, kinds: Sequence[str] = WEIGHTS) -> Path:
    """Return the folder of a model, downloading it into the hub's cache if it is not here.

    What is in the cache is taken without asking the hub, so that a run needs no network twice.

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
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise MissingError(f"model {model}: no such folder. Correct `model` (a folder or a hub id).")
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


def _cached(model: str, revision: str | None, kinds: Sequence[str]) -> Path | None:
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return _snapshot(model, revision, kinds, local_files_only=True)
    except HFValidationError as error:
        raise MissingError(f"model {model}: neither a folder nor a hub id (owner/name). Correct `model`.") from error
    except LocalEntryNotFoundError:
        return None


def _downloaded(model: str, revision: str | None, kinds: Sequence[str]) -> Path | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(model, revision, kinds, local_files_only=False)
    except Exception as error:  # the hub client passes on errors of whichever HTTP library it is built upon
        wrapped = isinstance(error, LocalEntryNotFoundError) and error.__cause__
        cause = wrapped or error
        which = f"{model}, revision {revision}" if revision else model
        raise MissingError(
            f"model {which}: not in the local hub cache, and the hub did not give it "
            f"({type(cause).__name__}: {' '.join(str(cause).split()):.120}). Fetch it where there is a network "
            f"(`hf download {model}`), or point `model` at a folder."
        ) from error


def _snapshot(model: str, revision: str | None, kinds: Sequence[str], local_files_only: bool) -> Path | None:
    """Return the snapshot with the first of ``kinds`` that the repository has, or None if it has none."""
    from huggingface_hub import snapshot_download

    for kind in kinds:
        folder = Path(
            snapshot_download(
                model, revision=revision, allow_patterns=[*BESIDE, kind], local_files_only=local_files_only
            )
        )
        if next(folder.glob(kind), None):
            return folder
    return None
