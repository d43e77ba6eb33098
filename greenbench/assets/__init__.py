"""What ships with the package: the quick start's speech and its teacher."""

from pathlib import Path

QUICKSTART = Path(__file__).parent / "quickstart"
