"""How weights are fetched: a folder as it is, a hub id through the hub's cache, with one clear line if neither is."""

from collections.abc import Sequence
from pathlib import Path

from greenbench.errors import MissingError

WEIGHTS = ("*.safetensors", "*.bin")
"""Weight files by preference; the first kind that a repository has is fetched."""


def fetch(model: str, revision: str | None, patterns: Sequence[str] = ("*.json", "*.txt")) -> Path:
    """Return the folder of a model, downloading it into the hub's cache if it is not here.

    Args:
        model: a folder or a hub id.
        revision: branch, tag or commit on the hub; None is the default branch.
        patterns: what to fetch beside the weights.

    Raises:
        MissingError: no such folder, no such repository, or no network; one line with the remedy.
    """
    if Path(model).is_dir():
        return Path(model)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise MissingError(f"model {model}: no such folder. Correct `model` (a folder or a hub id).")
    return _cached(model, revision) or _download(model, revision, patterns)


def _cached(model: str, revision: str | None) -> Path | None:
    """Return the model's folder in the hub's cache if its weights are in it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise MissingError(f"model {model}: neither a folder nor a hub id (owner/name)") from error
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return None
    return folder if any(next(folder.glob(kind), None) for kind in WEIGHTS) else None


def _download(model: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        files = [s.rfilename for s in HfApi().model_info(model, revision=revision, timeout=10).siblings or []]
        kinds = [kind for kind in WEIGHTS if any(Path(name).match(kind) for name in files)]
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*patterns, *kinds[:1]]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingError(
            f"model {model}: not in the local hub cache, and the hub did not give it "
            f"({type(error).__name__}: {cause:.120}). Fetch it where there is a network "
            f"(`hf download {model}`), or point `model` at a folder."
        ) from error
