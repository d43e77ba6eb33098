"""Fixtures of the model rooms: tiny models of every kind, a model that really reads tones, and a hub on localhost."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LETTERS = "ETAONIHS"
"""The alphabet of the tone language: each letter is a tone of its own, a space another, silence is the blank."""

FRONT_END = {
    "conv_kernel": (64, 8, 4, 4), "conv_stride": (20, 4, 2, 2), "num_feat_extract_layers": 4,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
"""A front end of one frame per 320 samples, as in the published models, with fewer layers."""

SMALL = {
    **FRONT_END, "conv_dim": (16,) * 4, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "vocab_size": 32,
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models gain nothing from more threads, and wait for them on a busy machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def save_processor() -> Callable[[Path, bool], None]:
    """Writes the tokeniser and feature extractor of the LibriSpeech checkpoints into a model's folder."""

    def save(folder: Path, masked: bool) -> None:
        from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

        from greenbench.variants.checkpoints import VOCABULARY

        vocabulary = folder / "vocab.json"
        vocabulary.write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}))
        extractor = Wav2Vec2FeatureExtractor(return_attention_mask=masked)
        Wav2Vec2Processor(extractor, Wav2Vec2CTCTokenizer(str(vocabulary))).save_pretrained(folder)

    return save


@pytest.fixture
def save_model(tmp_path: Path, save_processor: Callable[[Path, bool], None]) -> Callable[..., Path]:
    """Saves a small random model of a transformers class, with its processor, and returns the folder."""

    def save(kind: str, masked: bool = False, **settings: Any) -> Path:
        import torch
        import transformers

        torch.manual_seed(3)
        config = getattr(transformers, f"{kind}Config")(**SMALL | settings)
        folder = tmp_path / kind
        getattr(transformers, f"{kind}ForCTC")(config).save_pretrained(folder)
        save_processor(folder, masked)
        return folder

    return save


@pytest.fixture(scope="session")
def noise() -> list[np.ndarray]:
    """Six waveforms of 0.5 to 2 s."""
    rng = np.random.default_rng(7)
    return [rng.standard_normal(n).astype("float32") / 10 for n in (16000, 8000, 32000, 20111, 12345, 9999)]


# --- a model that reads tones ----------------------------------------------------------------------------


def _say(text: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the waveform of a text and, for each sample, the index of its token."""
    parts, tokens = [np.zeros(1600)], [np.zeros(1600, int)]
    for letter in text:
        n, gap = int(rng.integers(1600, 2400)), int(rng.integers(800, 1600))
        hertz, token = (3600, 4) if letter == " " else (300 + 380 * LETTERS.index(letter), 5 + LETTERS.index(letter))
        parts += [np.sin(2 * np.pi * hertz * np.arange(n) / 16000) * np.hanning(n) ** 0.3, np.zeros(gap)]
        tokens += [np.where(np.abs(np.arange(n) - n / 2) < n / 4, token, 0), np.zeros(gap, int)]
    waveform = np.concatenate(parts)
    noisy = waveform + 0.02 * rng.standard_normal(len(waveform))
    return noisy.astype("float32"), np.concatenate(tokens)


def _sentences(n_sentences: int, rng: np.random.Generator) -> list[str]:
    def word() -> str:
        return "".join(rng.choice(list(LETTERS), int(rng.integers(2, 5))))

    return [" ".join(word() for _ in range(int(rng.integers(1, 6)))) for _ in range(n_sentences)]


@pytest.fixture(scope="session")
def tone_corpus() -> tuple[list[np.ndarray], list[str]]:
    """Waveforms and texts of 160 sentences that the tone model has not heard."""
    rng = np.random.default_rng(1)
    texts = _sentences(160, rng)
    return [_say(text, rng)[0] for text in texts], texts


@pytest.fixture(scope="session")
def tone_model(tmp_path_factory: pytest.TempPathFactory, save_processor: Callable[[Path, bool], None]) -> Path:
    """A group-norm model that reads tones: a random network under a head fitted by ridge regression."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(3)
    wide = {"conv_dim": (128, 192, 192, 192), "hidden_size": 256, "num_attention_heads": 4}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL | wide)).eval()
    rng = np.random.default_rng(0)
    states, targets = [], []
    with torch.inference_mode():
        for text in _sentences(150, rng):
            waveform, tokens = _say(text, rng)
            normed = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
            states.append(model.wav2vec2(torch.tensor(normed)[None]).last_hidden_state[0])
            targets.append(torch.tensor(tokens[np.arange(len(states[-1])) * 320 + 200]))
    x = torch.nn.functional.pad(torch.cat(states), (0, 1), value=1.0)
    y = torch.nn.functional.one_hot(torch.cat(targets), 32).float()
    head = torch.linalg.solve(x.T @ x + 1e-3 * torch.eye(x.shape[1]), x.T @ y)
    with torch.no_grad():
        model.lm_head.weight.copy_(head[:-1].T)
        model.lm_head.bias.copy_(head[-1])
    folder = tmp_path_factory.mktemp("tone-model")
    model.save_pretrained(folder)
    save_processor(folder, masked=False)
    return folder


# --- a hub on localhost ----------------------------------------------------------------------------------


class Hub:
    """The few endpoints of the hub that a download uses, with a log of what was asked."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.status = 200
        self.requests: list[str] = []

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a path."""
        model = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        if self.status != 200:
            return self.status, {"X-Error-Code": "GatedRepo" if self.status == 401 else ""}, b""
        if model not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = self.repositories[model]
        if "/revision/" in path:
            if path.rpartition("/")[2] not in ("main", self.commit):
                return 404, {"X-Error-Code": "RevisionNotFound"}, b""
            siblings = [{"rfilename": name} for name in files]
            return 200, {}, json.dumps({"id": model, "sha": self.commit, "siblings": siblings}).encode()
        if "/tree/" in path:
            tree = [{"type": "file", "path": n, "size": len(b), "oid": f"{n}-oid"} for n, b in files.items()]
            return 200, {}, json.dumps(tree).encode()
        name = path.rpartition("/")[2]
        return 200, {"X-Repo-Commit": self.commit, "ETag": f'"{name}-oid"'}, files[name]


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on localhost with nothing in it, an empty cache, and the hub's client pointed at both."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, headers, body = hub.answer(path)
            if path.count("/") > 2:  # not the client's own housekeeping
                hub.requests.append(f"{self.command} {path}")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    _point_client(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that nothing answers for, and an empty cache."""
    _point_client(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")  # port 9, discard: closed


def _point_client(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
