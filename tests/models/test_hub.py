"""Fetching weights from the hub, played by a server on localhost."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import MissingError
from greenbench.models import folders, hub

MODEL = "someone/tiny"
FILES = {
    "config.json": b"{}", "vocab.json": b"{}", "preprocessor_config.json": b"{}", "README.md": b"card",
    "tf_model.h5": b"tf",
}  # fmt: skip


def test_a_folder_is_taken_as_it_is(tmp_path: Path, no_hub: None) -> None:
    """A folder needs no hub and is returned unchanged."""
    assert hub.fetch(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    "model", ["./models/student", "/nowhere/student", "~/student", "models/student/4l", "base-960h"]
)
def test_a_missing_folder_is_not_looked_up_on_the_hub(model: str, local_hub: Any) -> None:
    """What can only be a folder is called a missing folder, and the hub is not asked."""
    with pytest.raises(MissingError, match="no such folder"):
        hub.fetch(model)
    assert local_hub.requests == []


def test_a_name_that_is_no_hub_id_says_so(no_hub: None) -> None:
    """A name with characters that the hub forbids is one line, not the client's exception."""
    with pytest.raises(MissingError, match="neither a folder nor a hub id") as caught:
        hub.fetch("some one/tiny!")
    assert "\n" not in str(caught.value)


def test_safetensors_win_over_pickles(local_hub: Any) -> None:
    """Where a repository has both, only the safetensors come, with the configuration and nothing else."""
    local_hub.repositories[MODEL] = {**FILES, "model.safetensors": b"safe", "pytorch_model.bin": b"pickle"}
    folder = hub.fetch(MODEL)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "vocab.json", "preprocessor_config.json", "model.safetensors"
    }  # fmt: skip
    assert (folder / "model.safetensors").read_bytes() == b"safe"
    assert not any("pytorch_model.bin" in request or "h5" in request for request in local_hub.requests)


def test_pickles_come_where_there_is_nothing_else(local_hub: Any) -> None:
    """A repository without safetensors still loads."""
    local_hub.repositories[MODEL] = {**FILES, "pytorch_model.bin": b"pickle"}
    assert (hub.fetch(MODEL) / "pytorch_model.bin").read_bytes() == b"pickle"


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_nothing_comes_that_is_not_loaded(weights: str, local_hub: Any) -> None:
    """Adapters of a thousand languages, a language model, an optimiser and older steps stay where they are."""
    ending = weights.rpartition(".")[2]
    others = [
        f"adapter.fra.{ending}",
        f"optimizer.{ending}",
        f"language_model/5gram.{ending}",
        f"checkpoint-5/{weights}",
    ]
    local_hub.repositories[MODEL] = {**FILES, weights: b"weights", **dict.fromkeys(others, b"gigabytes")}
    folder = hub.fetch(MODEL)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "vocab.json", "preprocessor_config.json", weights
    }  # fmt: skip
    assert not any(other in request for request in local_hub.requests for other in others)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_the_second_fetch_asks_nothing(weights: str, local_hub: Any) -> None:
    """What is in the cache is served without a single request, though the fetch left files out."""
    local_hub.repositories[MODEL] = {**FILES, weights: b"weights"}
    first = hub.fetch(MODEL)
    local_hub.requests.clear()
    assert hub.fetch(MODEL) == first
    assert local_hub.requests == []


def test_half_a_download_is_not_taken_for_a_whole_one(local_hub: Any) -> None:
    """A cache that holds the configuration but no weights is completed from the hub."""
    local_hub.repositories[MODEL] = {**FILES, "model.safetensors": b"weights"}
    hub.fetch(MODEL, kinds=("config.json",))
    assert (hub.fetch(MODEL) / "model.safetensors").read_bytes() == b"weights"


def test_a_configuration_alone_fetches_no_weights(local_hub: Any) -> None:
    """Random weights need the configuration only, so no gigabyte is downloaded for them."""
    local_hub.repositories[MODEL] = {**FILES, "model.safetensors": b"weights"}
    assert not (hub.fetch(MODEL, kinds=("config.json",)) / "model.safetensors").exists()


def test_a_revision_is_the_one_asked_for(local_hub: Any) -> None:
    """A commit of the repository is fetched, and one that it does not have is named as the cause."""
    local_hub.repositories[MODEL] = {**FILES, "model.safetensors": b"weights"}
    assert hub.fetch(MODEL, local_hub.commit).name == local_hub.commit
    with pytest.raises(MissingError, match="revision no-such-branch: .*RevisionNotFoundError"):
        hub.fetch(MODEL, "no-such-branch")


def test_a_repository_without_weights_says_so(local_hub: Any) -> None:
    """The message names what was looked for."""
    local_hub.repositories[MODEL] = dict(FILES)
    with pytest.raises(MissingError, match=r"has no model\*\.safetensors or pytorch_model\*\.bin"):
        hub.fetch(MODEL)


@pytest.mark.parametrize(
    ("status", "cause"), [(401, "GatedRepoError"), (200, "RepositoryNotFoundError"), (500, "HfHubHTTPError")]
)
def test_refusals_are_one_line(status: int, cause: str, local_hub: Any, never_waits: None) -> None:
    """A gated or unknown repository and a broken hub each give one line with cause and remedy, without a retry."""
    local_hub.status = status
    with pytest.raises(MissingError, match=cause) as caught:
        hub.fetch("someone/else")
    assert "\n" not in str(caught.value)
    assert "hf download someone/else" in str(caught.value)


def test_no_network_is_one_line_and_quick(no_hub: None, never_waits: None) -> None:
    """Without a network the answer comes without a retry, on one line, with the cause and both remedies."""
    with pytest.raises(MissingError, match="ConnectError|ConnectionError") as caught:
        hub.fetch("facebook/wav2vec2-base-960h")
    message = str(caught.value)
    assert "\n" not in message
    assert "hf download facebook/wav2vec2-base-960h" in message
    assert "folder" in message


def test_offline_mode_is_respected(local_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE no request leaves, and the cache still serves."""
    from huggingface_hub import constants

    local_hub.repositories[MODEL] = {**FILES, "model.safetensors": b"weights"}
    hub.fetch(MODEL)
    local_hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert (hub.fetch(MODEL) / "model.safetensors").exists()
    with pytest.raises(MissingError, match="not in the local hub cache"):
        hub.fetch("someone/else")
    assert local_hub.requests == []


WEIGHTS = "model.safetensors"


def lose(folder: Path, name: str) -> None:
    """Take a file out of a snapshot, as a program that did not fetch it would leave it."""
    (folder / name).unlink()


def dangle(folder: Path, name: str) -> None:
    """Take away what a file of a snapshot links to."""
    (folder / name).resolve().unlink()


@pytest.mark.parametrize("spoil", [lose, dangle])
@pytest.mark.parametrize("name", ["vocab.json", "preprocessor_config.json", "config.json", WEIGHTS])
def test_a_part_of_a_model_is_completed(spoil: Any, name: str, local_hub: Any) -> None:
    """What another program left out, or a cleaner took, is fetched; such a model is not here until then."""
    local_hub.repositories[MODEL] = {**FILES, WEIGHTS: b"weights"}
    spoil(hub.fetch(MODEL), name)
    assert not hub.is_here(MODEL)
    folder = hub.fetch(MODEL)
    assert (folder / name).read_bytes() == local_hub.repositories[MODEL][name]
    assert hub.is_here(MODEL)


@pytest.mark.parametrize("spoil", [lose, dangle])
def test_offline_the_missing_file_is_named(spoil: Any, local_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hub the line says which file is not there and how to get it."""
    from huggingface_hub import constants

    local_hub.repositories[MODEL] = {**FILES, WEIGHTS: b"weights"}
    spoil(hub.fetch(MODEL), "vocab.json")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingError, match=f"in the local hub cache vocab.json is missing.*hf download {MODEL}"):
        hub.fetch(MODEL)


def test_weights_that_are_not_what_their_blob_is_called_are_damaged(tmp_path: Path) -> None:
    """The hub's cache names large files by their SHA-256: one that was cut since is not taken for the model."""
    folder, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    for path in (folder, blobs):
        path.mkdir(parents=True)
    for name in ("config.json", "vocab.json", "preprocessor_config.json"):
        (folder / name).write_bytes(b"{}")
    blob = blobs / hashlib.sha256(b"weights").hexdigest()
    blob.write_bytes(b"weights")
    (folder / WEIGHTS).symlink_to(blob)
    (folder / "tf_model.h5").symlink_to(tmp_path / "pruned")  # nothing of ours
    assert hub.lack(folder, folders.WEIGHTS) is None
    blob.write_bytes(b"weight")
    assert hub.lack(folder, folders.WEIGHTS) == f"{WEIGHTS} is damaged"
