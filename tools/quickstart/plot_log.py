"""Plot the training log of the teacher: loss and validation word error rates over hours of speech heard."""

import argparse
import csv
from itertools import accumulate
from pathlib import Path

from greenbench.files import whole

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"
RATES = {
    "wer_sentence": "sentences",
    "wer_code": "letters and numbers",
    "wer_an4": "AN4 (human)",
    "wer_unseen": "new voices",
}


def plot(rows: list[dict[str, str]], out: Path) -> None:
    """Draw loss above and error rates below, with a line where a stage begins."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    heard = list(accumulate(float(row["audio_h"]) for row in rows))
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    above.plot(heard, [float(row["loss"]) for row in rows], linewidth=1)
    above.set(ylabel="CTC loss per character", yscale="log")
    for column, label in RATES.items():
        points = [(h, 100 * float(row[column])) for h, row in zip(heard, rows, strict=True) if row[column]]
        if points:
            below.plot(*zip(*points, strict=True), marker=".", label=label)
    below.set(xlabel="hours of speech heard", ylabel="validation WER (%)", ylim=(0, 105))
    below.legend()
    for i in range(1, len(rows)):
        if rows[i]["stage"] != rows[i - 1]["stage"]:
            above.axvline(heard[i - 1], color="grey", linewidth=0.6)
            below.axvline(heard[i - 1], color="grey", linewidth=0.6)
    figure.savefig(out, dpi=90)


def joined(logs: list[Path]) -> list[dict[str, str]]:
    """Return the rows of several logs, one after the other."""
    rows = []
    for log in logs:
        with log.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=ASSETS / "teacher" / "training.csv")
    parser.add_argument("--join", type=Path, nargs="+", default=[], help="logs of stages, of which --log is made")
    return parser.parse_args()


def main() -> None:
    """Plot the log beside the teacher, put together of those of its stages where they are given."""
    args = arguments()
    if args.join:
        rows = joined(args.join)
        with whole.file(args.log) as aside, aside.open("x", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[-1]))
            writer.writeheader()
            writer.writerows(rows)
    plot(joined([args.log]), args.log.with_suffix(".png"))


if __name__ == "__main__":
    main()
