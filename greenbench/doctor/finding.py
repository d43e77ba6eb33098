"""The result of one of the doctor's checks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        topic: what was checked.
        ok: whether it is fit for measuring; None where that is unknown, or for the reader to judge.
        message: the state of it.
        remedy: what to do about it, where something can be done.
        blocks_official: the official protocol cannot be met in this state. It asks for a CPU and a clock of constant
            speed and for no other load. What a row shows by itself (no joules, a temperature that cannot be read)
            blocks nothing: the row is ranked by what was measured, or flagged.
    """

    topic: str
    ok: bool | None
    message: str
    remedy: str | None = None
    blocks_official: bool = False
