"""What ships with the package: the quick start's suite, speech and teacher, plotly.js, and the style of all pages."""

from pathlib import Path

QUICKSTART = Path(__file__).parent / "quickstart"


def quickstart_suite() -> Path:
    """Return the suite of the quick start: beside this file once installed, under ``suites`` in a checkout."""
    installed = Path(__file__).parent / "quickstart.yaml"
    return installed if installed.exists() else Path(__file__).parents[2] / "suites" / "quickstart.yaml"


def style() -> str:
    """Return the CSS that the report's page and the leaderboard's site share."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def plotly_js() -> str:
    """Return the plotly.js that draws the charts of the page; ``plotly/README.md`` says where it is from."""
    return (Path(__file__).parent / "plotly" / "plotly-basic.min.js").read_text(encoding="utf-8")
