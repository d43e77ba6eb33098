"""Average the weights of a teacher and of its continuation: the mean keeps much of what each does well."""

import argparse
import copy
from pathlib import Path

import teacher_model
import torch
import train_teacher
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor


def average(first: Wav2Vec2ForCTC, second: Wav2Vec2ForCTC, share: float) -> Wav2Vec2ForCTC:
    """Move the first teacher's weights towards the second's, in place.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (CVPR 2022), equation 1.

    Args:
        first: The teacher before further training.
        second: The same teacher after it; what only masked frames needed in training is left out.
        share: Share of the second, 0 to 1.

    Returns:
        The first teacher, with the mean weights.
    """
    with torch.no_grad():
        others = dict(second.named_parameters())
        for name, weight in first.named_parameters():
            weight.lerp_(others[name], share)
    return first


def best(models: dict[float, Wav2Vec2ForCTC], args: argparse.Namespace) -> float:
    """Return the share whose mean makes the fewest errors on the validation sets, each of which counts alike."""
    processor = Wav2Vec2Processor.from_pretrained(args.first)
    _, valid = train_teacher.load_corpus(args)
    errors = {}
    for share, model in models.items():
        rates = train_teacher.validate(model, processor, valid)
        errors[share] = sum(rates.values()) / len(rates)
        print(f"share {share}: mean {errors[share]:.4f} of {rates}", flush=True)
    return min(errors, key=lambda share: (errors[share], -share))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="model folder before further training")
    parser.add_argument("second", type=Path, help="model folder after it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, nargs="+", default=[0.5], help="of the second")
    parser.add_argument("--scratch", type=Path, default=Path("build/quickstart"), help="validation speech")
    parser.add_argument("--an4", type=Path, help="folder of AN4 with train.jsonl")
    return parser.parse_args()


def main() -> None:
    """Write the mean of two teachers; of several shares the one that validation finds best."""
    args = arguments()
    first, second = (Wav2Vec2ForCTC.from_pretrained(f, dtype=torch.float32) for f in (args.first, args.second))
    means = {share: average(copy.deepcopy(first), second, share) for share in args.share}
    teacher_model.write_folder(means[best(means, args) if len(means) > 1 else args.share[0]], args.out)


if __name__ == "__main__":
    main()
