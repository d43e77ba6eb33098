"""Embeddings: the mean over an utterance's own frames of a layer's output, and who has none."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import Wav2Vec2FeatureExtractor  # noqa: E402

from greenbench import registry  # noqa: E402
from greenbench.errors import NotFiniteError, UnansweredError  # noqa: E402
from greenbench.models import exported, hidden_states  # noqa: E402
from greenbench.models.ctc import CtcTranscriber  # noqa: E402
from greenbench.models.edits.exits import Exits  # noqa: E402
from greenbench.plugins import BARE, Embeds  # noqa: E402

NOISE = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)


def transcriber(model: Any, layer: int | None = None) -> CtcTranscriber:
    """Return what transcribes with a model; one with norms before its parts is masked, as in published models."""
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=model.config.do_stable_layer_norm)
    found = CtcTranscriber(model, extractor, None, "cpu")
    found.embedding_layer = layer
    return found


@pytest.mark.parametrize("layer", [None, 1, 2, 3])
def test_it_is_the_mean_of_a_layers_output(small: Any, layer: int | None) -> None:
    """By transformers' own hidden states; behind the last layer, where these may be normed, by running it alone."""
    number, model = layer or hidden_states.DEFAULT_LAYER, transcriber(small, layer)
    (vector,) = model.embeddings([NOISE])
    inputs = model.extractor([NOISE], sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        states = small(**inputs, output_hidden_states=True).hidden_states
        out = small.wav2vec2.encoder.layers[2](states[2]) if number == 3 else states[number]
    expected = (out[0] if isinstance(out, tuple) else out).reshape(-1, 32).mean(0).numpy()
    assert isinstance(model, Embeds)
    assert vector == pytest.approx(expected, abs=1e-4)
    assert model.embedding() == f"mean of hidden state {number} of 3"


def test_padding_is_no_part_of_it(small: Any) -> None:
    """A masked model gives an utterance among longer ones the vector that it has alone; one so short that it has a
    single frame has one, too."""
    if not small.config.do_stable_layer_norm:
        pytest.skip("group norm takes padding in, see CtcTranscriber")
    model, batch = transcriber(small, 2), [NOISE[:7000], NOISE, NOISE[:10]]
    together = model.embeddings(batch)
    assert together.shape == (3, 32)
    for vector, waveform in zip(together, batch, strict=True):
        assert vector == pytest.approx(model.embeddings([waveform])[0], abs=1e-4)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("int8-dynamic", {}), ("bf16", {}), ("layer-drop", {"keep": 2}), ("reduce-frames", {"factor": 2, "at": 1})],
)
def test_builds_have_embeddings(small: Any, method: str, settings: dict) -> None:
    """Integers, half precision, fewer layers, fewer frames behind: near the model's, as the same layers run."""
    (plain,) = transcriber(small, 1).embeddings([NOISE])
    build = registry.create("methods", method, settings)(small, BARE)
    (vector,) = transcriber(build, 1).embeddings([NOISE])
    assert vector.dtype == np.float32
    assert np.dot(plain, vector) / np.linalg.norm(plain) / np.linalg.norm(vector) > 0.9


@pytest.mark.parametrize("n_samples", [2000, 7000, 16_000, 16_161])
def test_frames_that_are_taken_together_are_counted(small: Any, n_samples: int) -> None:
    """Behind a reduction an utterance has as many frames as the layer puts out for it alone."""
    model = registry.create("methods", "reduce-frames", {"factor": 3, "at": 1})(small, BARE).eval()
    with torch.no_grad(), hidden_states.captured(model) as states:
        model(torch.zeros(1, n_samples))
    assert [len(state[0]) for state in states] == [hidden_states.n_frames(model, n, n_samples) for n in (1, 2, 3)]


def test_a_vector_that_is_not_finite_is_an_error(small: Any) -> None:
    """The utterance is told by its place in the batch."""
    with torch.no_grad():
        small.wav2vec2.encoder.layers[1].final_layer_norm.bias[0] = float("nan")
    with pytest.raises(NotFiniteError) as caught:
        transcriber(small, 2).embeddings([NOISE, NOISE])
    assert caught.value.positions == (0, 1)


def test_a_layer_that_is_not_there_is_refused(small: Any) -> None:
    """The reason says how many there are."""
    with pytest.raises(UnansweredError, match="embedding_layer is 4, and the model has 3 layers"):
        transcriber(small, 4).embedding()


def test_a_model_with_exits_is_refused(small: Any) -> None:
    """A layer may not run."""
    Exits((1,), 0.5, "frames").make(small)
    with pytest.raises(UnansweredError, match="with early exits a layer may not run"):
        transcriber(small).embedding()


def test_an_engines_export_is_refused() -> None:
    """It gives logits only, and the reason says what to measure in its place."""
    engine = object.__new__(exported.Exported)
    with pytest.raises(UnansweredError, match="an engine's export gives logits only.*measure a build of torch"):
        hidden_states.layer(engine, None)
