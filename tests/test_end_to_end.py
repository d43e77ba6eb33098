"""The main job on real human speech, against the library called directly and an independent recount."""

from pathlib import Path

import jiwer
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from greenbench.harness.runner import Options, run
from greenbench.results import frames


@pytest.fixture
def few(speech: Path, tmp_path: Path) -> Path:
    """A LibriSpeech folder with the first two utterances of each chapter of test-other: 12 of six speakers."""
    root = speech / "LibriSpeech" / "test-other"
    for transcript in root.rglob("*.trans.txt"):
        folder = tmp_path / "LibriSpeech" / "test-other" / transcript.parent.relative_to(root)
        folder.mkdir(parents=True)
        lines = transcript.read_text("utf-8").splitlines()[:2]
        (folder / transcript.name).write_text("\n".join(lines), "utf-8")
        for name in (line.partition(" ")[0] for line in lines):
            (folder / f"{name}.flac").symlink_to(transcript.parent / f"{name}.flac")
    return tmp_path / "LibriSpeech"


@pytest.mark.speech
def test_whisper_scores_what_the_library_scores(few: Path, whisper_folder: Path, tmp_path: Path) -> None:
    """On 12 utterances of test-other, texts, counts and WER equal those of faster-whisper called directly.

    CTranslate2's int8 arithmetic differs between processors, with matrix instructions and without.
    """
    from faster_whisper import WhisperModel

    suite = {
        "name": "whisper",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0, "idle_s": 0, "warmup_batches": 1},
        "datasets": [{"use": "librispeech", "root": str(few), "subset": "test-other"}],
        "variants": [{"use": "faster-whisper", "model": str(whisper_folder), "compute_type": "int8"}],
    }
    frame = run(suite, Options(out=tmp_path / "run"))
    row, texts = frame.iloc[0], frames.load_hypotheses(tmp_path / "run")
    assert row["status"] == "ok"
    normalize = EnglishTextNormalizer()
    recount = jiwer.process_words(list(map(normalize, texts["reference"])), list(map(normalize, texts["hypothesis"])))
    assert row["n_utterances"] == len(texts) == 12
    assert (row["n_word_substitutions"], row["n_word_deletions"], row["n_word_insertions"], row["wer"]) == (
        recount.substitutions, recount.deletions, recount.insertions, recount.wer,
    )  # fmt: skip
    assert row["wer"] == pytest.approx(0.107, abs=0.02)
    assert row["wer_ci_low"] < row["wer"] < row["wer_ci_high"]
    upper = jiwer.wer(list(texts["reference"]), [text.upper() for text in texts["hypothesis"]])
    assert upper == pytest.approx(0.227, abs=0.03)

    import soundfile

    model = WhisperModel(str(whisper_folder), device="cpu", compute_type="int8")
    for _, text in texts[::3].iterrows():  # the texts of all would take the test as long again
        speaker, chapter, _ = text["utterance_id"].split("-")
        file = few / "test-other" / speaker / chapter / f"{text['utterance_id']}.flac"
        segments, _ = model.transcribe(
            soundfile.read(file, dtype="float32")[0], beam_size=1, language="en", temperature=0
        )
        assert "".join(segment.text for segment in segments).strip() == text["hypothesis"]
        assert text["audio_s"] == pytest.approx(soundfile.info(file).duration)


def test_a_real_model_and_its_builds_side_by_side(tiny_model: Path, manifest: Path, tmp_path: Path) -> None:
    """A trained model and its int8 build run in both scenarios; the build is smaller and knows its parent."""
    use = {"use": "wav2vec2", "model": str(tiny_model)}
    suite = {
        "name": "builds",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.5, "idle_s": 1},
        "datasets": [{"use": "manifest", "path": str(manifest)}],
        "variants": [{**use, "name": "tiny"}, {**use, "name": "tiny+int8-dynamic", "builds": ["int8-dynamic"]}],
        "scenarios": ["offline", "single-stream"],
        "batch_sizes": [4],
        "estimate_energy": True,
        "carbon": {"g_per_kwh": 56, "source": "RTE", "year": 2023},
    }
    frame = run(suite, Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["ok"] * 4, list(frame["reason"])
    whole, int8 = frame[frame["variant"] == "tiny"].iloc[0], frame[frame["variant"] != "tiny"].iloc[0]
    assert int8["model_bytes"] < whole["model_bytes"]
    assert int8["n_params"] == whole["n_params"]
    assert frame["macs_per_audio_s"].nunique() == 1  # int8 does the same work
    assert (frame["macs_per_audio_s"] > 1e6).all()
    offline = frame["scenario"] == "offline"
    # batches of 1.0 to 1.3 s and of 1.4 to 1.7 s: 0.6 s in each are padding, of 5.2 and 6.8 s computed
    assert frame["padding_pct"][offline].tolist() == pytest.approx([10.0, 10.0])
    assert (frame["padding_pct"][~offline] == 0).all()
    assert (int8["parent"], int8["steps"]) == ("tiny", "int8-dynamic")
    assert frame["wer"].notna().all()
    if (frame["energy_method"] == "estimated").all():
        assert all("energy-estimated" in flags for flags in frame["flags"])
        assert frame["energy_cpu_note"].str.contains("TDP").all()
    joules = frame["energy_j"]
    assert frame["energy_net_j"].tolist() == pytest.approx((joules - frame["idle_power_w"] * frame["wall_s"]).tolist())
    assert frame["co2e_g"].tolist() == pytest.approx((joules / 3.6e6 * 56).tolist())


def test_random_weights_have_no_accuracy(tiny_model: Path, manifest: Path, tmp_path: Path) -> None:
    """A real architecture with synthetic weights gives speed and memory, no WER, and a row that says so."""
    from safetensors import safe_open

    suite = {
        "name": "random",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0, "idle_s": 0, "warmup_batches": 1},
        "datasets": [{"use": "manifest", "path": str(manifest), "limit": 1}],
        "variants": [{"use": "wav2vec2", "config": str(tiny_model), "weights": "random", "name": "random"}],
    }
    row = run(suite, Options(out=tmp_path / "run")).iloc[0]
    with safe_open(tiny_model / "model.safetensors", "np") as stored:
        assert row["n_params"] == sum(stored.get_tensor(name).size for name in stored.keys())  # noqa: SIM118
    assert row[["wer", "cer", "wer_ci_low"]].isna().all()
    assert row["synthetic"]
    assert "synthetic-weights" in row["flags"]
    assert row["peak_rss_bytes"] > row["model_bytes"]
