"""Early exits in engines: exits and texts are torch's, alone and in batches; what is kept is read strictly."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.stored import save
from greenbench.datasets.quickstart import Quickstart
from greenbench.errors import StoreError
from greenbench.plugins import Context
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.wav2vec2 import Wav2Vec2

from ..variants.tiny import noise

torch = pytest.importorskip("torch")

from greenbench.compress.early_exit import EarlyExit  # noqa: E402
from greenbench.models import exits  # noqa: E402
from greenbench.models.segmented import FILE, Segmented, numbered, opened  # noqa: E402

__all__ = ["noise"]

ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}
ROUNDED: dict[str, tuple[Any, str]] = {
    "onnx-int8": ("onnx-int8", "onnxruntime"), "onnx-int4": ("onnx-int4", "onnx_ir"),
    "openvino-int8": ({"use": "openvino-int8", "n_calibration": 8}, "nncf"), "openvino-int4": ("openvino-int4", "nncf"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep exports in a folder of this module's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def load(folder: Path, *builds: Any) -> Any:
    """Load a folder with builds chained on, on the CPU."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds)))
    variant.check()
    return variant.load("cpu")


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled teacher, cut to ten layers and with exits behind three of them, as a folder."""
    from greenbench.compress import LayerDrop

    model, extractor, tokenizer = Wav2Vec2(**Wav2Vec2.presets["quickstart"]).open()
    model = LayerDrop(keep=10, select="first_k")(model)
    exit_early = EarlyExit(layers=[5, 7, 8], threshold=0.3, refit_steps=60, n_calibration=20)
    model = exit_early(model, Context(extractor=extractor))
    return save(model, extractor, tokenizer, tmp_path_factory.mktemp("leaving") / "student")


def read(model: Any, batches: list[list[Any]]) -> tuple[list[str], list[Counter[int]]]:
    """Return the texts of batches of speech, and the layers that ran for each batch."""
    texts, ran = [], []
    for batch in batches:
        model.footprint.exits.layers_run.clear()
        texts += model([clip.read() for clip in batch])
        ran.append(Counter(model.footprint.exits.layers_run))
    return texts, ran


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_engines_leave_where_torch_leaves(engine: str, leaving: Path) -> None:
    """On every ninth utterance of the bundled speech, alone and in batches of four: texts and layers run are torch's,
    not all utterances leave at the same exit, and so is the work of each."""
    pytest.importorskip(ENGINES[engine], reason="not installed")
    clips = list(Quickstart()())[::9]
    batches = [[clip] for clip in clips] + [clips[start : start + 4] for start in range(0, 16, 4)]
    plain, exported = load(leaving), load(leaving, engine)
    expected = read(plain, batches)
    assert read(exported, batches) == expected
    assert len({n for ran in expected[1] for n in ran}) > 2
    for n_layers in (5, 7, 8, 10):
        theirs = plain.footprint.exits.macs(100_000, n_layers)
        assert exported.footprint.exits.macs(100_000, n_layers) == pytest.approx(theirs, rel=1e-6)
    assert exported.footprint.n_params == plain.footprint.n_params
    assert exported.footprint.macs(100_000) is None


@pytest.mark.parametrize("engine", ROUNDED)
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_integers_leave_early_too(engine: str, leaving: Path) -> None:
    """Weights of few bits change few words, and how many layers run in the mean by less than one."""
    import jiwer

    build, package = ROUNDED[engine]
    pytest.importorskip(package, reason="not installed")
    batches = [[clip] for clip in list(Quickstart(voices="seen")())[::9]]
    plain, exported = load(leaving), load(leaving, build)
    (expected, theirs), (texts, ours) = read(plain, batches), read(exported, batches)
    assert jiwer.wer(expected, texts) < 0.1
    mean = [sum(n * count for of in ran for n, count in of.items()) / len(batches) for ran in (theirs, ours)]
    assert mean[0] < 10
    assert mean[1] == pytest.approx(mean[0], abs=1)
    assert exported.footprint.model_bytes < 0.6 * plain.footprint.model_bytes


NORMED = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
POSITIONS = {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}
FAMILIES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2", False, {}), "wav2vec2-layer": ("Wav2Vec2", True, NORMED),
    "hubert": ("Hubert", False, {}), "hubert-layer": ("Hubert", True, NORMED),
    "wavlm": ("WavLM", False, {}), "wavlm-layer": ("WavLM", True, NORMED), "unispeech": ("UniSpeech", False, {}),
    "unispeech-sat": ("UniSpeechSat", True, {}), "data2vec": ("Data2VecAudio", True, POSITIONS),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # from WavLM's attention
def test_every_encoder_with_exits_runs_in_an_engine(
    family: str, engine: str, save_model: Callable[..., Path], noise: list[Any], tmp_path: Path
) -> None:
    """Each kind of encoder, with a mask and without: at a threshold that some utterances reach, the layers that run and
    the logits are torch's, alone and in a batch with padding."""
    pytest.importorskip(ENGINES[engine], reason="not installed")
    kind, masked, settings = FAMILIES[family]
    folder = save_model(kind, masked, num_hidden_layers=4, initializer_range=0.2, **settings)
    model, extractor, tokenizer = Wav2Vec2(model=str(folder)).open()
    model = EarlyExit(layers=[1, 3], threshold=-1, refit_steps=1, n_calibration=1)(model, Context(extractor=extractor))
    exits.of(model).threshold = _between(model, extractor, noise)
    student = save(model, extractor, tokenizer, tmp_path / "student")
    plain, exported = load(student), load(student, engine)
    for batch in [*([one] for one in noise), noise]:
        inputs = extractor(batch, sampling_rate=16_000, padding=True, return_tensors="pt")
        with torch.inference_mode():
            ours, theirs = exported.model(**inputs).logits, plain.model(**inputs).logits
        assert torch.allclose(ours, theirs, atol=1e-3)
    ran = plain.footprint.exits.layers_run
    assert exported.footprint.exits.layers_run == ran
    assert len(ran) > 1


def _between(model: Any, extractor: Any, noise: list[Any]) -> float:
    """Return the mean of two neighbouring entropies at the first exit, so that no rounding decides."""
    found = []
    with exits.leaving_never(), torch.inference_mode():
        for one in noise:
            logits = model(**extractor(one, sampling_rate=16_000, return_tensors="pt")).exits[0]
            found.append(float(exits.mean_entropy(logits, blank=exits.of(model).blank)[0]))
    found.sort()
    return (found[2] + found[3]) / 2


# --- what is kept ----------------------------------------------------------------------------------------

KEPT = {"after": [2, 4], "threshold": 0.5, "blank": None, "work": [None, [1.0]]}


def certain(known: dict[str, Any]) -> dict[str, Any]:
    """A graph whose branch is sure of the second token, more so the larger the first sample is."""
    logits = np.zeros((len(known["samples"]), 3, 2), np.float32)
    logits[..., 1] = known["samples"][:, :1]
    return {"logits": logits, "hidden": logits}


def kept(folder: Path, content: Any, n_graphs: int = 2) -> Path:
    """Write what an export leaves, with graphs that are names alone, and return the first one."""
    (folder / FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    for number in range(n_graphs):
        numbered(folder / "model.onnx", number).touch()
    return folder / "model.onnx"


def test_graphs_run_until_all_of_a_batch_is_sure(tmp_path: Path) -> None:
    """Of a sure and an unsure utterance each runs as many graphs as it takes, together as many as the unsure one; all
    are counted."""
    called: list[str] = []

    def open_one(graph: Path) -> Any:
        return lambda known: called.append(graph.name) or certain(known)

    run = opened(kept(tmp_path, KEPT), open_one)
    assert isinstance(run, Segmented)
    sure, unsure = np.full((1, 8), 50, np.float32), np.zeros((1, 8), np.float32)
    for samples, expected in ((sure, 1), (unsure, 2), (np.concatenate([sure, unsure]), 2)):
        called.clear()
        assert len(run({"samples": samples})) == len(samples)
        assert called == ["model.onnx", "model-1.onnx"][:expected]
    assert run.layers_run == Counter({2: 1, 4: 3})


@pytest.mark.parametrize(
    ("content", "n_graphs", "says"),
    [
        ("{", 2, "not JSON"), ("[]", 2, "a JSON object is expected"), ({**KEPT, "after": [4, 2]}, 2, "rising numbers"),
        ({**KEPT, "after": [2]}, 2, "after"), ({**KEPT, "after": [0, 4]}, 2, r"after\.0"),
        ({**KEPT, "threshold": "0.5"}, 2, "threshold: "), ({**KEPT, "threshold": None}, 2, "threshold: "),
        ({**KEPT, "blank": -1}, 2, "blank: "), ({**KEPT, "work": [[1.0]] * 3}, 2, "work: one for each of 2 graphs"),
        ({name: value for name, value in KEPT.items() if name != "work"}, 2, "work: missing"),
        (KEPT, 1, r"model-1\.onnx: missing: exits\.json says that there are 2 graphs"),
    ],
)  # fmt: skip
def test_damaged_exits_are_one_line(content: Any, n_graphs: int, says: str, tmp_path: Path) -> None:
    """Nothing is opened then, and the line names file and place."""
    with pytest.raises(StoreError, match=says) as caught:
        opened(kept(tmp_path, content, n_graphs), lambda _graph: pytest.fail("a graph was opened"))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_model_without_exits_is_one_graph(tmp_path: Path) -> None:
    """What its graph says is the answer."""
    run = opened(tmp_path / "model.onnx", lambda _graph: certain)
    assert run({"samples": np.ones((2, 4), np.float32)}).shape == (2, 3, 2)
