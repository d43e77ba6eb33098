"""Average the weights of a teacher and of its continuation: the mean keeps much of what each does well."""

import argparse
from pathlib import Path

import teacher_model
import torch
from transformers import Wav2Vec2ForCTC


def average(first: Wav2Vec2ForCTC, second: Wav2Vec2ForCTC, share: float) -> Wav2Vec2ForCTC:
    """Move the first teacher's weights towards the second's, in place.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (CVPR 2022), equation 1.

    Args:
        first: The teacher before further training.
        second: The same teacher after it.
        share: Share of the second, 0 to 1.

    Returns:
        The first teacher, with the mean weights.
    """
    with torch.no_grad():
        for weight, other in zip(first.parameters(), second.parameters(), strict=True):
            weight.lerp_(other, share)
    return first


def main() -> None:
    """Write the mean of two teachers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="model folder before further training")
    parser.add_argument("second", type=Path, help="model folder after it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second")
    args = parser.parse_args()
    first, second = (Wav2Vec2ForCTC.from_pretrained(f, dtype=torch.float32) for f in (args.first, args.second))
    teacher_model.write_folder(average(first, second, args.share), args.out)


if __name__ == "__main__":
    main()
