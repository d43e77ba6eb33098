"""Whether the transcripts of a training can be spelt in the model's vocabulary."""

from collections import Counter
from collections.abc import Iterable

from greenbench.errors import InputError
from greenbench.models.spelling import speller
from greenbench.plugins import Context, Spoken
from greenbench.plugins.events import Phase

MAX_UNKNOWN = {"training": 0.01, "validation": 0.5}
"""Share of the letters of transcripts that a vocabulary may lack and that are left out; more than that is refused.

A loss against a text with holes teaches to leave words out; in validation they are errors of every step alike.
"""


def check(context: Context, needs_transcripts: bool) -> None:
    """Refuse transcripts that the model cannot write, and say which letters are left out of others.

    Args:
        context: of the training.
        needs_transcripts: whether a loss is counted against those of the training speech; those of the validation
            speech always decide which step is kept.

    Raises:
        InputError: more than ``MAX_UNKNOWN`` of the letters are not in the vocabulary.
    """
    spell = speller(context.tokenizer)
    parts: dict[str, Iterable[Spoken]] = {"training": context.train} if needs_transcripts else {}
    for name, spoken in {**parts, "validation": context.validation}.items():
        found = [spell(utterance.reference) for utterance in spoken]
        n_letters, unknown = sum(spelt.n_letters for spelt in found), Counter("".join(s.unknown for s in found))
        share = unknown.total() / n_letters if n_letters else 0.0
        examples = ", ".join(f"'{char}' {n} times" for char, n in unknown.most_common(5))
        what = f"{100 * share:.3g} % of the letters of the {name} transcripts are not in the model's vocabulary"
        if share > MAX_UNKNOWN[name]:
            raise InputError(f"distill: {what} ({examples}): write them as the model does, e.g. numbers as words")
        if unknown:
            context.observe(Phase(f"{what} and left out ({examples})"))
