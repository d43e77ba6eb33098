"""The shipped quick-start assets are what their README says they are."""

import importlib.util
import json
from pathlib import Path

import pytest
import soundfile

from greenbench.datasets.quickstart import Quickstart

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "greenbench" / "assets" / "quickstart"


def rows(part: str) -> list[dict]:
    return [json.loads(line) for line in (ASSETS / part / "manifest.jsonl").read_text().splitlines()]


def recipe(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / "quickstart" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def grammar():
    return recipe("grammar")


@pytest.mark.parametrize("part", ["evaluation", "unlabelled"])
def test_every_listed_file_is_16_khz_mono_and_as_long_as_listed(part):
    """Every file of a manifest exists, is 16 kHz mono and has the listed duration."""
    for row in rows(part):
        info = soundfile.info(ASSETS / part / row["audio_filepath"])
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.duration == pytest.approx(row["duration"], abs=0.001)


def test_evaluation_covers_seen_and_unseen_voices():
    """The evaluation set has voices that the teacher heard, some that it did not, over ten minutes, and is small."""
    voices = {row["speaker"]: row["seen"] for row in rows("evaluation")}
    assert list(voices.values()).count(True) >= 7
    assert {"flite-awb", "pico-gb"} <= {name for name, seen in voices.items() if not seen}
    assert sum(row["duration"] for row in rows("evaluation")) > 600
    assert sum(file.stat().st_size for file in (ASSETS / "evaluation" / "audio").iterdir()) <= 8e6


def test_evaluation_sentences_belong_to_the_test_split(grammar):
    """No evaluation sentence may be used for training, and all have 2 to 14 words in lower case."""
    texts = [row["text"] for row in rows("evaluation")]
    assert {grammar.split_of(text) for text in texts} == {"test"}
    assert all(2 <= len(text.split()) <= 14 and text == text.lower() for text in texts)


@pytest.mark.parametrize("kind", ["sentence", "compound", "code"])
def test_splits_share_no_sentence(grammar, kind):
    """Training, distillation, validation and test sentences are disjoint."""
    drawn = [set(grammar.sentences(split, kind, 300, seed=5)) for split in ("train", "distil", "valid", "test")]
    assert len(set.union(*drawn)) == sum(len(sentences) for sentences in drawn)


@pytest.mark.parametrize("part", ["evaluation", "unlabelled"])
def test_each_part_can_be_prepared(part):
    """Recipes train on the unlabelled part, whose lines have no text; neither part is refused."""
    Quickstart(part=part).prepare()


def test_unlabelled_speech_tells_no_text():
    """The speech for distillation comes without transcripts."""
    assert not any("text" in row for row in rows("unlabelled"))


def test_the_teacher_loads_offline_and_recognises_a_voice_it_was_trained_on():
    torch, transformers, jiwer = (pytest.importorskip(name) for name in ("torch", "transformers", "jiwer"))
    teacher = ASSETS / "teacher"
    assert (teacher / "model.safetensors").stat().st_size < 20e6
    processor = transformers.Wav2Vec2Processor.from_pretrained(teacher, local_files_only=True)
    model = transformers.Wav2Vec2ForCTC.from_pretrained(teacher, dtype=torch.float32, local_files_only=True).eval()
    said, heard = [], []
    for row in rows("evaluation")[:8]:
        audio, rate = soundfile.read(ASSETS / "evaluation" / row["audio_filepath"], dtype="float32")
        with torch.inference_mode():
            logits = model(processor(audio, sampling_rate=rate, return_tensors="pt").input_values).logits
        said.append(row["text"])
        heard.append(processor.batch_decode(logits.argmax(-1))[0])
    assert len(model.wav2vec2.encoder.layers) == 12
    assert jiwer.wer(said, heard) < 0.3


@pytest.mark.parametrize("model", ["teacher", "students/quickstart-6l", "students/quickstart-2l"])
def test_what_is_shipped_loads_as_float32_and_reads_the_same(model):
    """Stored in float16, it runs in float32 under transformers alone too, and gives our texts."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from greenbench.variants.wav2vec2 import Wav2Vec2

    folder = ASSETS / model
    plain = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    assert {str(weights.dtype) for weights in plain.parameters()} == {"torch.float32"}
    processor = transformers.AutoProcessor.from_pretrained(folder)
    ours = Wav2Vec2(model=str(folder))("m", []).load("cpu")
    for row in rows("evaluation")[:4]:
        audio = soundfile.read(ASSETS / "evaluation" / row["audio_filepath"], dtype="float32")[0]
        inputs = processor(audio, sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            tokens = plain(inputs.input_values).logits.argmax(-1)
        assert processor.batch_decode(tokens) == ours([audio])
