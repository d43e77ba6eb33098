"""What the doctor finds, and how much it matters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor looked at.

    Attributes:
        topic: what was looked at.
        ok: whether it is fit for measuring; None where that cannot be told, or is for the reader to judge.
        message: what was found.
        remedy: what to do about it, where something can be done.
        blocks_official: the official protocol cannot hold while this is so. It asks for a clock and a CPU that keep
            their pace and for nobody else at work. What a row shows by itself (no joules, a temperature that cannot
            be read) blocks nothing: the row is ranked by what was measured, or flagged.
    """

    topic: str
    ok: bool | None
    message: str
    remedy: str | None = None
    blocks_official: bool = False
