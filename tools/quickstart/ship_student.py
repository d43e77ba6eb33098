"""Put a student that `greenbench compress` made among the shipped ones: weights in half precision, lineage, log."""

import argparse
from pathlib import Path

import teacher_model
import torch
from transformers import Wav2Vec2ForCTC

from greenbench.files import whole
from greenbench.plugins import LINEAGE

STUDENTS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart" / "students"


def ship(student: Path, out: Path) -> None:
    """Write a student's shipped form.

    Args:
        student: folder that `greenbench compress` wrote.
        out: folder to ship; it runs in float32, as the teacher does, since its lineage names no other precision.
    """
    teacher_model.write_folder(Wav2Vec2ForCTC.from_pretrained(student, dtype=torch.float32), out)
    whole.write(out / LINEAGE, (student / LINEAGE).read_bytes())
    (log,) = student.glob("training/*-distill/log.csv")
    whole.write(out / "training.csv", log.read_bytes())


def main() -> None:
    """Ship one student."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("--out", type=Path, default=STUDENTS, help="folder of the shipped students")
    args = parser.parse_args()
    ship(args.student, args.out / args.student.name)


if __name__ == "__main__":
    main()
