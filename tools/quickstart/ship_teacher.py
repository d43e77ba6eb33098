"""Put the speech and the teacher that `pipeline.py` made where they ship, in place of what was there."""

import argparse
import shutil
from pathlib import Path

from greenbench.files import whole

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"
SPEECH, TEACHER = ("evaluation", "unlabelled"), "teacher"


def ship(made: Path, assets: Path) -> None:
    """Replace the folders of speech, and the teacher's files but for its card.

    Args:
        made: folder with what is new.
        assets: folder to ship it in.
    """
    for name in (*SPEECH, TEACHER):
        with whole.folder(assets / name, keep=name == TEACHER) as aside:
            for file in sorted(path for path in (made / name).rglob("*") if path.is_file()):
                inside = file.relative_to(made / name)
                (aside / inside).parent.mkdir(parents=True, exist_ok=True)
                (aside / inside).unlink(missing_ok=True)  # it may be a link to what ships now
                shutil.copy(file, aside / inside)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("made", type=Path)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    return parser.parse_args()


def main() -> None:
    """Ship what was made."""
    args = arguments()
    ship(args.made, args.assets)


if __name__ == "__main__":
    main()
