"""How a report becomes one HTML file that needs nothing else: sections, scripts, and the data these draw from."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from greenbench.analysis.gate import DEFAULT, Gate
from greenbench.assets import plotly_js, style
from greenbench.report import data, roofline, sentences, sessions, timeline, utterances
from greenbench.report.content import Content, Unread, load
from greenbench.report.figures import looks
from greenbench.report.headline import headline
from greenbench.report.sections import SECTIONS, View
from greenbench.results import store

if TYPE_CHECKING:
    from jinja2 import Environment

_SCRIPTS = ("data.js", "charts.js", "session.js", "table.js", "columns.js", "page.js")


def write_page(folders: Path | Iterable[Path], out: Path, gate: Gate = DEFAULT) -> Path:
    """Write the report of one or several results folders.

    Args:
        folders: a run's folder or a parent of runs, or several of these.
        out: the HTML file; its folder is made where needed.
        gate: what a cell's WER must be before its speed and energy are ranked.

    Returns:
        ``out``.

    Raises:
        StoreError: there is no run or no row to report, or ``out`` cannot be written.
    """
    places = [Path(folders)] if isinstance(folders, (str, Path)) else [Path(place) for place in folders]
    return write(load(places, gate), out)


def write(content: Content, out: Path) -> Path:
    """Write the page of what was read.

    Raises:
        StoreError: ``out`` cannot be written.
    """
    store.write_file(out, render(content), "cannot write the report", "Choose another file.")
    return out


def render(content: Content, live: bool = False, unread: Sequence[Unread] = ()) -> str:
    """Return the page.

    Args:
        content: what it shows.
        unread: runs that it leaves out, which it names.
        live: fetch plotly.js, and the page anew whenever it changes, from where the page came from.
    """
    from markupsafe import Markup

    lines, settings = content.lines, content.settings
    cells = utterances.cell_texts(lines, content.texts, content.counted)
    view = View(content, lines, settings, cells)
    look = looks(lines["variant"])
    drawn = data.drawn(lines, settings, look) | {
        "shares": utterances.SHARES,
        "latencies": utterances.latencies(cells),
        "groups": utterances.groups(cells),
        "sessions": sessions.drawn(cells),
        **roofline.drawn(lines, content.runs),
        "timelines": [
            {"run": line.run_id, "note": line.note, "figure": line.figure}
            for line in timeline.draw(content.power, content.windows, look)
        ],
    }
    environment, contexts = templates(), {name: of_view(view) for name, of_view in SECTIONS.items()}
    return environment.get_template("page.html.jinja").render(
        title=" + ".join(dict.fromkeys(str(run.get("name") or run.get("run_id")) for run in content.runs)),
        descriptions=list(dict.fromkeys(run["description"] for run in content.runs if run.get("description"))),
        headline=headline(content),
        compared=sentences.compared(lines),
        tally=sentences.tally(lines),
        n_settings=len(settings),
        filters=_filters(drawn),
        sections=[
            Markup(environment.get_template(f"sections/{name}.html.jinja").render(context))  # noqa: S704 (escaped there)
            for name, context in contexts.items()
            if context is not None
        ],
        data=data.pack(drawn),
        live=live,
        unread=unread,
        plotly=None if live or not settings else Markup(plotly_js()),  # noqa: S704  the library itself
    )


@cache
def templates() -> "Environment":
    """Return the environment of the page's templates, which escapes whatever it is given."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = files("greenbench.report").joinpath("page")

    def source(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(source)
    )
    environment.globals["style"] = Markup(style() + source("page.css"))  # noqa: S704  our own
    environment.globals["scripts"] = Markup("\n".join(map(source, _SCRIPTS)))  # noqa: S704  our own
    return environment


def _filters(drawn: dict[str, object]) -> list[tuple[str, str, list[str]]]:
    """Return what the page can be narrowed to, where there is a choice: column, name and values."""
    facts: dict[str, dict[str, list[object]]] = drawn["facts"]  # type: ignore[assignment]
    choices = {name: [str(v) for v in facts[name]["values"] if v is not None] for name in data.FILTERS}
    return [(name, data.FILTERS[name], values) for name, values in choices.items() if len(values) > 1]
