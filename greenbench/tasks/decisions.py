"""What tasks that are judged by decisions share: how their texts are read, and the figures of their trials."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from greenbench.errors import InputError
from greenbench.statistics import detection
from greenbench.statistics.detection import Trials
from greenbench.text.population import population

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class ScoredOneWay:
    """A task whose answers are scored in one way, whatever a suite says of texts.

    Attributes:
        scorer: its identifier.
    """

    scorer: ClassVar[str]

    def counted_by(self, scoring: str) -> Mapping[str, str | None]:  # noqa: ARG002
        """Return the identifier of the one scoring; nothing is normalised."""
        return {"normalizer": None, "scorer": self.scorer}

    def scoring_of(self, row: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the name of the one scoring."""
        return self.scorer


def asked(task: str, reference: str, of_what: str) -> dict[str, bool]:
    """Read a reference: whether each of the things that are asked about is so.

    Args:
        task: the task's name, for the message.
        reference: a JSON object.
        of_what: what is asked about, for the message.

    Raises:
        InputError: it is something else.
    """
    contract = f"a reference is a JSON object with true or false {of_what}"
    found: dict[str, bool] = read(task, _references(), reference, contract)
    return found


def read(task: str, form: "TypeAdapter[Any]", text: str, contract: str) -> Any:
    """Read the JSON of a reference or an answer.

    Args:
        task: the task's name, for the message.
        form: what it must be.
        text: the JSON.
        contract: the same in words, for the message.

    Raises:
        InputError: it is something else.
    """
    try:
        return form.validate_json(text, strict=True)
    except ValueError as error:
        raise InputError(f"task {task}: {contract}, not {text!r:.60}") from error


@cache
def _references() -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, bool])


def units(speakers: Sequence[str | None], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the unit of each trial: the speaker, or the utterance where speakers are not known.

    Args:
        speakers: of each utterance.
        places: of the utterance of each trial among them; of any shape.

    Returns:
        The same shape, numbered from 0 on over the units that have trials.
    """
    blocks = np.array(population(speakers).blocks or range(len(speakers)))
    numbers: npt.NDArray[np.int64] = np.unique(blocks[places], return_inverse=True)[1].astype(np.int64)
    return numbers.reshape(places.shape)


def figures(trials: Trials, speakers: Sequence[str | None]) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return what each of these tasks reports, and whom the interval speaks of.

    Args:
        trials: of the data set; where all are present, or none, only their numbers are returned.
        speakers: of its utterances.
    """
    n_target = int(trials.present.sum())
    counts = {"n_target_trials": n_target, "n_nontarget_trials": len(trials.scores) - n_target}
    if not trials.can_be_judged:
        return counts, {"wer_ci_unit": None}
    curve, ends = detection.roc(trials), detection.interval(trials)
    rates = {
        "eer": float(detection.equal_error_rate(curve)[0]),
        **dict(zip(("eer_ci_low", "eer_ci_high"), ends or (None, None), strict=True)),
        "auc": float(detection.area(curve)[0]),
    }
    return counts | rates, {"wer_ci_unit": None if ends is None else population(speakers).unit}
