"""The one table of metrics: what each number is called, its unit, which way is better, and its formula."""

from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Metric:
    """One column of the results.

    Attributes:
        unit: SI unit, ``1`` for counts and ratios.
        better: which direction is better, for ranking and Pareto fronts.
        label: a short name for people.
        about: one sentence on what is measured.
    """

    unit: str
    better: Better
    label: str
    about: str


def _count(label: str, about: str) -> Metric:
    return Metric("1", "neither", label, about)


STREAMING: dict[str, Metric] = {
    "first_partial_p50_s": Metric("s", "lower", "first text p50", "median seconds, onset of speech -> first text"),
    "first_partial_p90_s": Metric("s", "lower", "first text p90", "seconds that 90 % of utterances take at most"),
    "final_p50_s": Metric("s", "lower", "final text p50", "median seconds, last sample -> final text (TTFS)"),
    "final_p90_s": Metric("s", "lower", "final text p90", "seconds that 90 % of utterances take at most"),
    "final_p99_s": Metric("s", "lower", "final text p99", "seconds that 99 % of utterances take at most"),
    "final_only_pct": Metric("%", "lower", "nothing before the end", "utterances without text before the final one"),
    "word_latency_p50_s": Metric("s", "lower", "word latency p50", "median seconds, end of a word -> shown for good"),
    "word_latency_p90_s": Metric("s", "lower", "word latency p90", "seconds that 90 % of words take at most"),
    "word_latency_mean_s": Metric("s", "lower", "word latency, mean", "buffer + wait + compute + emission delay"),
    "buffer_s": Metric("s", "lower", "word buffer", "mean seconds, end of a word -> its chunk is complete"),
    "wait_s": Metric("s", "lower", "word wait", "mean seconds, its chunk is complete -> the model begins with it"),
    "word_compute_s": Metric("s", "lower", "word compute", "mean seconds of the model with the chunk of a word's end"),
    "emission_delay_s": Metric("s", "lower", "emission delay", "mean seconds, that chunk is done -> shown for good"),
    "n_timed_words": _count("timed words", "recognised words whose end in the speech is known"),
    "chunk_compute_p99_s": Metric("s", "lower", "chunk compute p99", "seconds that 99 % of chunks take at most"),
    "chunk_latency_p99_s": Metric("s", "lower", "chunk latency p99", "seconds, chunk is complete -> done, of 99 %"),
    "late_chunk_pct": Metric("%", "lower", "late chunks", "chunks that were not done when the next one was complete"),
    "stream_rtf": Metric("1", "lower", "streaming RTF", "seconds that the model was busy / seconds of audio"),
    "unstable_word_pct": Metric("%", "lower", "unstable words", "places of words that changed / final words"),
    "revisions_per_word": Metric("1", "lower", "revisions per word", "words changed from text to text / final words"),
    "recompute_factor": Metric("1", "lower", "recompute factor", "seconds of audio that were computed / of audio"),
}  # fmt: skip
"""What only the scenario ``streaming`` has; docs/explanation/streaming.md has the source of each definition."""

FELT = ("first_partial_p50_s", "final_p50_s", "word_latency_p50_s")
"""Of these, what a speaker feels."""

METRICS: dict[str, Metric] = {  # one line a metric
    # accuracy; counts are stored, rates derive from them
    "wer": Metric("1", "lower", "WER", "(S + D + I) / N over the words of the whole corpus, a fraction"),
    "wer_ci_low": Metric("1", "neither", "WER, 95 % low", "lower end of the interval of wer (for whom: wer_ci_unit)"),
    "wer_ci_high": Metric("1", "neither", "WER, 95 % high", "upper end of the interval of wer (for whom: wer_ci_unit)"),
    "cer": Metric("1", "lower", "CER", "(S + D + I) / N over the characters of the whole corpus, a fraction"),
    "cer_ci_low": Metric("1", "neither", "CER, 95 % low", "lower end of the interval of cer (for whom: wer_ci_unit)"),
    "cer_ci_high": Metric("1", "neither", "CER, 95 % high", "upper end of the interval of cer (for whom: wer_ci_unit)"),
    "n_ref_words": _count("reference words", "N of wer, after normalisation"),
    "n_word_substitutions": _count("substituted words", "S of wer"),
    "n_word_deletions": _count("deleted words", "D of wer"),
    "n_word_insertions": _count("inserted words", "I of wer"),
    "n_ref_chars": _count("reference characters", "N of cer, after normalisation"),
    "n_char_substitutions": _count("substituted characters", "S of cer"),
    "n_char_deletions": _count("deleted characters", "D of cer"),
    "n_char_insertions": _count("inserted characters", "I of cer"),
    "wer_worst_slice": Metric("1", "lower", "WER, worst slice", "wer of the slice where it is highest (wer_slice)"),
    "wer_worst_slice_ci_low": Metric("1", "neither", "WER of it, low", "lower end of wer_worst_slice's interval"),
    "wer_worst_slice_ci_high": Metric("1", "neither", "WER of it, high", "upper end of wer_worst_slice's interval"),
    "wer_slice_gap": Metric("1", "neither", "WER gap of the slice", "wer_worst_slice - wer of all other utterances"),
    "cer_worst_slice": Metric("1", "lower", "CER, worst slice", "cer of the slice where it is highest (cer_slice)"),
    "cer_worst_slice_ci_low": Metric("1", "neither", "CER of it, low", "lower end of cer_worst_slice's interval"),
    "cer_worst_slice_ci_high": Metric("1", "neither", "CER of it, high", "upper end of cer_worst_slice's interval"),
    "cer_slice_gap": Metric("1", "neither", "CER gap of the slice", "cer_worst_slice - cer of all other utterances"),
    "term_recall": Metric("1", "higher", "term recall", "listed terms recognised as a whole / their occurrences"),
    "term_recall_ci_low": Metric("1", "neither", "term recall, low", "lower end of the 95 % interval of term_recall"),
    "term_recall_ci_high": Metric("1", "neither", "term recall, high", "upper end of the 95 % interval of term_recall"),
    "n_ref_terms": _count("terms said", "occurrences of listed terms in the references, after normalisation"),
    "n_terms_recognised": _count("terms recognised", "of these, those whose words are all recognised in their places"),
    "punct_f1": Metric("1", "higher", "punctuation F1", "2 C / (2 C + D + I + 2 S) over the punctuation marks"),
    "punct_f1_ci_low": Metric("1", "neither", "punctuation F1, low", "lower end of the 95 % interval of punct_f1"),
    "punct_f1_ci_high": Metric("1", "neither", "punctuation F1, high", "upper end of the 95 % interval of punct_f1"),
    "n_ref_marks": _count("reference marks", "punctuation marks in the references"),
    "n_mark_substitutions": _count("substituted marks", "S of punct_f1: another mark in the place of one"),
    "n_mark_deletions": _count("deleted marks", "D of punct_f1"),
    "n_mark_insertions": _count("inserted marks", "I of punct_f1"),
    "case_error_rate": Metric("1", "lower", "case error rate", "words right but for their case / words recognised"),
    "case_error_rate_ci_low": Metric("1", "neither", "case error rate, low", "lower end of its 95 % interval"),
    "case_error_rate_ci_high": Metric("1", "neither", "case error rate, high", "upper end of its 95 % interval"),
    "n_case_words": _count("words with case", "words recognised, whatever their case, that have letters of two cases"),
    "n_case_errors": _count("case errors", "of these, those that differ from the reference in case"),
    "eer": Metric("1", "lower", "EER", "share of misses where it equals that of false alarms (tasks detect, verify)"),
    "eer_ci_low": Metric("1", "neither", "EER, 95 % low", "lower end of the interval of eer (for whom: wer_ci_unit)"),
    "eer_ci_high": Metric("1", "neither", "EER, 95 % high", "upper end of the interval of eer (for whom: wer_ci_unit)"),
    "tpr_at_fpr": Metric("1", "higher", "found at 5 % false", "present keywords found where 5 % of absent ones are"),
    "auc": Metric("1", "higher", "AUC", "chance that what is present scores above what is absent"),
    "min_dcf": Metric("1", "lower", "minDCF", "least detection cost, p_target 0.01, costs 1; 1 is what guessing costs"),
    "false_alarms_per_hour": Metric("1/h", "lower", "false alarms", "of a keyword in an hour of speech, missing 5 %"),
    "n_target_trials": _count("target trials", "trials of eer: the keyword is said, the speaker is the same"),
    "n_nontarget_trials": _count("nontarget trials", "trials of eer in which it is not"),
    "n_utterances": _count("utterances", "utterances in one pass over the data set"),
    "n_skipped": _count("skipped files", "bad audio files left out under on_bad_audio: skip"),
    # speed
    "rtfx": Metric("1", "higher", "RTFx", "audio seconds / processing seconds, sum over sum"),
    "audio_s": Metric("s", "neither", "audio", "seconds of audio transcribed in the window"),
    "wall_s": Metric("s", "lower", "wall time", "monotonic seconds of the window: waveforms in memory -> texts"),
    "n_passes": _count("passes", "whole passes over the data set inside the window"),
    "latency_p50_s": Metric("s", "lower", "latency p50", "median seconds per utterance at batch size 1"),
    "latency_p90_s": Metric("s", "lower", "latency p90", "seconds that 90 % of utterances take at most, MLPerf's rule"),
    "latency_p95_s": Metric("s", "lower", "latency p95", "seconds that 95 % of utterances take at most, MLPerf's rule"),
    "latency_p99_s": Metric("s", "lower", "latency p99", "seconds that 99 % of utterances take at most, MLPerf's rule"),
    "server_rate_hz": Metric("Hz", "higher", "server rate", "highest rate that met the latency bound in its window"),
    **STREAMING,
    "max_streams": Metric("1", "higher", "most streams", "most streams at once with 99 % of chunks in time"),
    "padding_pct": Metric("%", "lower", "padding", "share of the audio computed that is padding in the batches sent"),
    "mfu_pct": Metric("%", "higher", "share of peak (MFU)", "macs_per_audio_s x rtfx / this machine's measured peak"),
    "load_s": Metric("s", "lower", "load time", "seconds to import the engine and have the model ready"),
    "first_utterance_s": Metric("s", "lower", "first utterance", "seconds for the first utterance after loading"),
    # size
    "peak_rss_bytes": Metric("bytes", "lower", "peak memory", "high-water resident memory of the process tree"),
    "peak_gpu_bytes": Metric("bytes", "lower", "peak GPU memory", "high-water GPU memory in the window"),
    "peak_gpu_allocated_bytes": Metric("bytes", "lower", "peak GPU tensors", "high-water GPU memory of tensors"),
    "model_bytes": Metric("bytes", "lower", "model size", "serialised state of what runs"),
    "n_params": Metric("1", "lower", "parameters", "parameters of what runs"),
    "n_nonzero_params": Metric("1", "lower", "nonzero parameters", "those that are not 0; null outside torch"),
    "bits_per_weight": Metric("bit", "lower", "bits per weight", "stored bits per parameter; null where unknown"),
    "macs_per_audio_s": Metric("1/s", "lower", "MACs per audio second", "multiply-accumulates at the mean length"),
    "mean_layers": Metric("1", "lower", "layers run", "layers run per utterance; null where all always run"),
    # energy; gross joules inside the window
    "energy_j": Metric("J", "lower", "energy", "sum of the parts in scope; null unless every part was read"),
    "energy_system_j": Metric("J", "lower", "system energy", "the whole machine: wall meter, battery or input rail"),
    "energy_cpu_j": Metric("J", "lower", "CPU energy", "CPU packages"),
    "energy_dram_j": Metric("J", "lower", "DRAM energy", "memory"),
    "energy_gpu_j": Metric("J", "lower", "GPU energy", "GPU boards used"),
    "idle_power_w": Metric("W", "neither", "idle power", "power of the same scope, model loaded, nothing running"),
    "idle_power_after_w": Metric("W", "neither", "idle power after", "the same after the window, to see a drift"),
    "energy_net_j": Metric("J", "lower", "net energy", "energy_j - idle_power_w x wall_s"),
    "energy_j_per_audio_s": Metric("J/s", "lower", "energy per audio second", "energy_j / audio_s; ranks go by it"),
    "co2e_g": Metric("g", "lower", "CO2e", "energy_j x the stated grid factor x PUE"),
    # money
    "cost_per_audio_hour": Metric(
        "currency/h", "lower", "cost per audio hour (derived)", "price_per_hour / rtfx, in price_currency; not measured"
    ),
    # how undisturbed the window was
    "cpu_s": Metric("s", "lower", "CPU time", "CPU seconds of the worker's process tree inside the window"),
    "harness_cpu_s": Metric("s", "lower", "harness CPU time", "CPU seconds of the waiting parent in the window"),
    "poller_cpu_s": Metric("s", "neither", "poller CPU time", "CPU seconds of the process that samples sensors"),
    "foreign_cpu_s": Metric("s", "lower", "foreign CPU time", "CPU seconds of all other processes in the window"),
    "trace_lost_s": Metric("s", "lower", "trace lost", "seconds of the window that the poller did not sample"),
    "n_gpu_foreign_processes": _count("foreign GPU processes", "other processes computing on the GPU at start or end"),
    "gpu_temp_start_c": Metric("°C", "neither", "GPU at start", "temperature of the GPU as the window opened"),
    "gpu_temp_end_c": Metric("°C", "neither", "GPU at end", "temperature of the GPU as the window closed"),
    "gpu_throttled_s": Metric("s", "lower", "GPU throttled", "seconds slowed down by heat or a hardware brake"),
    "gpu_power_capped_s": Metric("s", "neither", "GPU power-capped", "seconds at the board's own power limit"),
    "cpu_temp_start_c": Metric("°C", "neither", "CPU temperature, start", "hottest CPU as the window begins"),
    "cpu_temp_end_c": Metric("°C", "neither", "CPU temperature, end", "hottest CPU as the window ends"),
    "n_cpu_throttles": Metric("1", "lower", "CPU throttling", "times a core or package slowed down to cool off"),
}  # fmt: skip

DETECTION = (
    "eer", "eer_ci_low", "eer_ci_high", "tpr_at_fpr", "auc", "min_dcf", "false_alarms_per_hour", "n_target_trials",
    "n_nontarget_trials",
)  # fmt: skip
"""What only rows of tasks that are judged by decisions have, ``detect`` and ``verify``."""

_ACCURATE = (
    "wer", "cer", "term_", "punct_", "case_", "n_ref_", "n_word_", "n_char_", "n_terms_", "n_mark_", "n_case_",
)  # fmt: skip
ACCURACY = tuple(name for name in METRICS if name.startswith(_ACCURATE) or name in DETECTION)
"""The metrics that follow from texts, or other answers, alone."""

TEXT_RATES = ("wer", "cer")
"""The error rates of texts."""

RATES = (*TEXT_RATES, "eer")
"""The error rates. One is primary: it decides what the gate asks, who makes the fewest errors, and what costs are drawn
against; for languages written without spaces that is CER, as a word error rate means nothing there, and for decisions
(keywords, speakers) the equal error rate."""

WORST: dict[str, str] = {f"{rate}_worst_slice": rate for rate in TEXT_RATES}
"""The error rate of the worst slice -> that of the whole."""

ERROR_RATES = (*RATES, *WORST)
"""What is compared utterance by utterance, in percentage points."""

TERM_RECALL = "term_recall"

ORTHOGRAPHIC = ("punct_f1", "case_error_rate")
"""What the scorer ``punctuation`` counts in addition, on the texts as they are written."""

ABSOLUTE = (*ERROR_RATES, TERM_RECALL, *ORTHOGRAPHIC)
"""Shares of words, marks or decisions, whose differences are in percentage points."""

BY_TERM = tuple(name for name in ACCURACY if "term" in name)
"""The metrics of listed terms, which rows of earlier versions do not have."""

BY_ORTHOGRAPHY = tuple(name for name in ACCURACY if any(part in name for part in ("punct_", "mark", "case_")))
"""The metrics of punctuation and case, which other scorers do not count."""

BY_SLICE = tuple(name for name in ACCURACY if "_slice" in name)
"""The metrics by slice, which rows of earlier versions do not have."""

INTERVALS = tuple(name for name in ACCURACY if "_ci_" in name)
"""The ends of confidence intervals among them."""

J_PER_KWH = 3.6e6


TICK_S = 0.01
"""The step in which systems count CPU time: a difference of two counts is off by up to one."""

RESOLVED_S = 20 * TICK_S
"""From this length on the share of the CPUs used in a window is known to half of a tenth; below, it is unknown."""

COST = "cost_per_audio_hour"

ENERGY_UNITS = ("J", "J/s", "W", "g")
"""A metric in one of these derives from joules, so it is as good as their origin."""


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Return ``numerator / denominator``, or None where either is unknown or the denominator is 0."""
    if numerator is None or denominator is None or denominator == 0:
        return None
    return numerator / denominator


def change_pct(old: float | None, new: float | None) -> float | None:
    """Return the change from ``old`` to ``new`` in percent of ``old``, or None where it is unknown."""
    return None if old is None or new is None else ratio(100 * (new - old), old)


def padding_pct(audio_s: float, padded_s: float) -> float | None:
    """Return the percentage of ``padded_s`` seconds computed that are not among the ``audio_s`` seconds of audio."""
    share = ratio(audio_s, padded_s)
    return None if share is None else 100 * (1 - share)


def mfu_pct(macs_per_audio_s: float | None, rtfx: float | None, peak_macs_per_s: float | None) -> float | None:
    """Return the model FLOP utilisation: work done in a second as a percentage of the most that the machine does.

    Chowdhery et al., "PaLM" (2022), appendix B, for inference, so that nothing is computed twice. Both sides count
    multiply-accumulates, of which each is two FLOP.

    Args:
        macs_per_audio_s: multiply-accumulates for a second of audio.
        rtfx: seconds of audio in a second.
        peak_macs_per_s: from ``roofline.ceiling``.
    """
    if macs_per_audio_s is None or rtfx is None:
        return None
    return ratio(100 * macs_per_audio_s * rtfx, peak_macs_per_s)


def energy_net_j(energy_j: float | None, idle_power_w: float | None, wall_s: float | None) -> float | None:
    """Return gross joules minus what idling for ``wall_s`` seconds would have taken (may be negative)."""
    if energy_j is None or idle_power_w is None or wall_s is None:
        return None
    return energy_j - idle_power_w * wall_s


def co2e_g(energy_j: float | None, g_per_kwh: float | None, pue: float = 1.0) -> float | None:
    """Return grams of CO2 equivalent: kWh x grid factor (g/kWh) x power usage effectiveness."""
    if energy_j is None or g_per_kwh is None:
        return None
    return energy_j / J_PER_KWH * g_per_kwh * pue


def cost_per_audio_hour(price_per_hour: float | None, rtfx: float | None) -> float | None:
    """Return what an hour of audio costs: price of the machine per hour / RTFx, in the price's currency.

    An hour of audio keeps the machine busy for 1 / RTFx hours. It is derived, not measured: it follows a price that
    somebody states for the whole machine, as if that did nothing else and were never idle.
    """
    return ratio(price_per_hour, rtfx)


def missing(value: Any) -> bool:
    """Say whether a value is missing: None, NaN, or pandas' NA and NaT."""
    return value is None or str(value) in ("nan", "<NA>", "NaT")
