"""What goes to the Hugging Face hub: files for one repository, in one commit, and only where that is asked for."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from greenbench import extras
from greenbench.errors import InputError, MissingError

TOKEN = "HF_TOKEN"  # noqa: S105 (the name of a variable)
"""The variable of the environment that has the token; it is read nowhere else."""

EXTRA = "hub"

CARD = "README.md"

PLACES = {"eval-results": ".eval_results/greenbench.yaml", "model-index": CARD}
"""Format of an export -> where a model's repository has it."""

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Upload:
    """Files for a repository of the hub, which must be there.

    Attributes:
        repo: owner and name.
        kind: of the repository.
        files: by their paths in the repository, each as its content or as the file that has it.
        model_index: results that are put into the metadata of the repository's card; the rest of it stays.
    """

    repo: str
    kind: Literal["model", "dataset", "space"]
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    model_index: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        """Refuse what names no repository."""
        if not _REPO.fullmatch(self.repo):
            raise InputError(f"--push-to {self.repo}: a repository on the hub is OWNER/NAME.")

    @property
    def place(self) -> str:
        """The repository, in words."""
        return f"{self.kind} {self.repo}"

    def shown(self) -> list[str]:
        """Say what would be written, a line each."""
        sizes = {
            name: content.stat().st_size if isinstance(content, Path) else len(content)
            for name, content in self.files.items()
        }
        results = [result for model in self.model_index for result in model["results"]]
        card = [f"{CARD}: {len(results)} results in its metadata, nothing else changed"] if results else []
        return [*(f"{name}: {size} bytes" for name, size in sizes.items()), *card]


def of_export(form: str, paths: Sequence[Path], repo: str) -> Upload:
    """Return an export as the upload to a model's repository.

    Args:
        form: the format, from ``PLACES``.
        paths: the files that were written.
        repo: owner and name.

    Raises:
        InputError: there are several variants.
    """
    if len(paths) != 1:
        raise InputError(
            f"--push-to {repo}: a model's repository has the results of one variant, and these are of {len(paths)}. "
            "Name one with --variant."
        )
    if form == "model-index":
        import yaml

        return Upload(repo, "model", model_index=yaml.safe_load(paths[0].read_text(encoding="utf-8"))["model-index"])
    return Upload(repo, "model", {PLACES[form]: paths[0]})


def check_export(form: str, repo: str) -> None:
    """Refuse what is no repository, and a format of which the hub has no place."""
    Upload(repo, "model")
    if form not in PLACES:
        raise InputError(
            f"--push-to: only the formats {' and '.join(PLACES)} are published in a model's repository. Whole runs are "
            "published by `greenbench submit --push-to`."
        )


def push(upload: Upload, message: str) -> str:
    """Write files into a repository as one commit.

    Args:
        upload: the files.
        message: of the commit.

    Returns:
        The commit's address.

    Raises:
        InputError: there is no token.
        MissingError: the library is not installed, or the hub did not take the files.
    """
    extras.need(EXTRA)
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(f"--push-to {upload.repo}: set {TOKEN} to a token of the hub that may write there.")
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    try:
        with tempfile.TemporaryDirectory() as folder:
            card, parent = _card(api, upload, Path(folder)) if upload.model_index else ({}, None)
            operations = [
                CommitOperationAdd(name, str(content) if isinstance(content, Path) else content)
                for name, content in {**upload.files, **card}.items()
            ]
            done = api.create_commit(
                upload.repo, operations, commit_message=message, repo_type=upload.kind, parent_commit=parent
            )
    except Exception as error:  # the hub's client passes on errors of whichever HTTP library it is built upon
        raise MissingError(f"{upload.place}: nothing was published: {_why_not(error)}") from error
    return str(done.commit_url)


def _card(api: Any, upload: Upload, aside: Path) -> tuple[dict[str, bytes], str | None]:
    """Return the repository's card with the results in its metadata, and the commit that it was read from."""
    from huggingface_hub import metadata_load, metadata_save
    from huggingface_hub.errors import RemoteEntryNotFoundError

    card, parent = aside / CARD, None
    try:
        there = Path(api.hf_hub_download(upload.repo, CARD, repo_type=upload.kind, cache_dir=aside / "cache"))
        parent = there.parent.name
        (aside / CARD).write_bytes(there.read_bytes())
    except RemoteEntryNotFoundError:  # and no other: a card that cannot be read must not be replaced
        card.touch()
    metadata = metadata_load(card) or {}
    metadata_save(card, {**metadata, "model-index": with_results(metadata.get("model-index"), upload.model_index)})
    return {CARD: card.read_bytes()}, parent


def with_results(there: Any, new: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a card's ``model-index`` with new results in the place of those of the same task, data and metric.

    Args:
        there: the card's; None where it has none.
        new: with one model.
    """
    if not there:
        return [dict(model) for model in new]
    added = [result for model in new for result in model["results"]]
    taken = {key for result in added for key in _keys(result)}
    kept: list[Mapping[str, Any]] = []
    for result in there[0].get("results") or ():
        left = [metric for metric, key in zip(result["metrics"], _keys(result), strict=True) if key not in taken]
        kept += [{**result, "metrics": left}] if left else []
    return [{**there[0], "results": [*kept, *added]}, *there[1:]]


def _keys(result: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what tells each metric of a result from others."""
    task, data = result["task"].get("type"), result["dataset"]
    return [(task, data.get("type"), data.get("name"), one.get("type"), one.get("name")) for one in result["metrics"]]


def _why_not(error: Exception) -> str:
    """Say why the hub took nothing, in one line."""
    from huggingface_hub.errors import RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return f"there is no such repository, or {TOKEN} may not see it. Create it on the hub, or correct --push-to."
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error  # of one of its threads
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status in (401, 403):
        return f"{TOKEN} may not write there (HTTP {status}). Give it a token with write access."
    return f"{type(cause).__name__}: {' '.join(str(cause).split()):.200}"
