"""Corruptions of an entry: a data set for each ratio of noise, and folders that mean the same from anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.datasets.corruptions import NOISES, recordings
from greenbench.plugins.paths import beside


def problem(given: Mapping[str, Any]) -> str | None:
    """Say what of an entry's corruptions does not go together: noise without its level, a seed of nothing, two rooms.

    Args:
        given: an entry of a data set; what is the default may be missing.
    """
    if given.get("rt60_s") is not None and given.get("rir") is not None:
        return "rt60_s: the speech is in a simulated room, or in those of rir: give one of them"
    if given.get("noise_snr_db") is not None:
        return None
    seeded = ("noise_seed",) if not _has_room(given) else ()
    lost = next((key for key in ("noise", *seeded) if given.get(key)), None)
    return lost and f"{lost}: the level of the noise is missing; set noise_snr_db"


def each(given: Mapping[str, Any], base: Path) -> list[dict[str, Any]]:
    """Return the keys of an entry once for each of its ratios of noise; one without noise (None) has nothing of it.

    Args:
        given: an entry of a data set.
        base: folder that relative paths are tried against first.

    Raises:
        InputError: a folder of recordings has none.
    """
    whole = {**given, **_folders(given, base)}
    ratios = whole.get("noise_snr_db")
    if not isinstance(ratios, list):
        return [whole]
    left_out = ("noise",) if _has_room(whole) else ("noise", "noise_seed")
    quiet = {key: value for key, value in whole.items() if key not in left_out} | {"noise_snr_db": None}
    return [quiet if ratio is None else whole | {"noise_snr_db": ratio} for ratio in dict.fromkeys(ratios)]


def _has_room(given: Mapping[str, Any]) -> bool:
    return given.get("rt60_s") is not None or given.get("rir") is not None


def _folders(given: Mapping[str, Any], base: Path) -> dict[str, str]:
    """Return the folders of recordings that an entry names, absolute, having looked into them."""
    named = {key: given[key] for key in ("noise", "rir") if given.get(key) and given[key] not in NOISES}
    found = {key: str(beside(Path(folder), base)) for key, folder in named.items()}
    for key, folder in found.items():
        recordings(key, folder)
    return found
