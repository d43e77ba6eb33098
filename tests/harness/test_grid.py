"""The grid factor of the hour: codecarbon's reader asks a server on this machine, outside of every window."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from greenbench import extras
from greenbench.errors import InputError, MissingError
from greenbench.harness import grid
from greenbench.harness.runner import Options, run
from greenbench.results import store
from greenbench.suite.carbon import Carbon
from greenbench.validate import problems

electricitymaps_api = pytest.importorskip("codecarbon.core.electricitymaps_api", reason="codecarbon is not installed")

SUITE: dict[str, Any] = {
    "name": "co2", "datasets": [{"use": "quickstart", "limit": 2}], "control": False, "trace_hz": 0,
    "variants": [{"use": "null", "delay_s": 0.001, "name": "mine"}], "carbon": {"zone": "DE", "pue": 1.5},
    "protocol": {"use": "quick", "idle_s": 0.0, "repeats": 2},
}  # fmt: skip


class Maps(HTTPServer):
    """Stands for Electricity Maps: the answer of its version 3, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.answer = 200, {"zone": "DE", "carbonIntensity": 302, "datetime": "2026-11-30T19:00:00.000Z"}
        self.asked: list[tuple[str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Maps

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("auth-token")))
        content = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Maps]:
    with Maps() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(electricitymaps_api, "URL", f"http://127.0.0.1:{server.server_port}/latest")
        monkeypatch.setenv(grid.TOKEN, "made-up")
        electricitymaps_api.reset_cache()
        yield server
        electricitymaps_api.reset_cache()
        server.shutdown()


@pytest.mark.parametrize(
    ("zone", "query"),
    [("DE", "countryCode=DE"), ("52.5,13.4", "lat=52.5&lon=13.4"), ("-33.9,151.2", "lat=-33.9&lon=151.2")],
)
def test_it_asks_for_a_country_or_a_place(maps: Maps, zone: str, query: str) -> None:
    """The factor, its source, and the moment are columns; the token goes into the header alone."""
    found = grid.asked(Carbon(zone=zone))
    assert maps.asked == [(f"/latest?{query}", "made-up")]
    assert (found["carbon_g_per_kwh"], found["carbon_source"]) == (302.0, "Electricity Maps")
    asked = datetime.fromisoformat(found["carbon_time_utc"])
    assert timedelta(0) <= datetime.now(timezone.utc) - asked < timedelta(minutes=5)
    assert found["carbon_year"] == asked.year
    assert "made-up" not in str(found)


def test_a_run_has_the_factor_and_where_and_when_it_was_asked_for(maps: Maps, tmp_path: Path) -> None:
    """Rows have zone, time and factor, and grams follow from joules by it; nothing in them is wrong."""
    frame = run(SUITE, Options(out=tmp_path / "run"))
    rows = list(store.read_rows(tmp_path / "run" / store.RECORDS))
    assert len(frame) == len(rows) == 2
    for row in rows:
        assert (row["carbon_g_per_kwh"], row["carbon_zone"], row["carbon_pue"]) == (302.0, "DE", 1.5)
        assert row["carbon_time_utc"] is not None
        assert row["carbon_note"] is None
    assert [found.what for found in problems(tmp_path / "run") if "carbon" in found.what] == []


def test_a_server_that_gives_none_costs_the_grams_alone(maps: Maps, tmp_path: Path) -> None:
    """Its words are in the row; what was measured stays, and no other factor takes its place."""
    maps.status, maps.answer = 401, {"error": "Invalid auth-token"}
    run(SUITE, Options(out=tmp_path / "run"))
    rows = list(store.read_rows(tmp_path / "run" / store.RECORDS))
    for row in rows:
        assert (row["status"], row["carbon_g_per_kwh"], row["co2e_g"]) == ("ok", None, None)
        assert row["carbon_note"] == "Electricity Maps gave no factor: Invalid auth-token"
    assert [found.what for found in problems(tmp_path / "run") if "carbon" in found.what] == []


def test_a_suite_that_states_the_factor_asks_nobody(maps: Maps) -> None:
    """The fixed factor is the default, and no suite asks without a zone."""
    assert grid.asked(Carbon(g_per_kwh=56, source="RTE", year=2023)) == grid.asked(None) == {}
    assert maps.asked == []


def test_what_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The token's variable, and the extra."""
    monkeypatch.delenv(grid.TOKEN, raising=False)
    with pytest.raises(InputError, match=r"carbon.zone: set CODECARBON_ELECTRICITYMAPS_API_TOKEN"):
        run(SUITE, Options(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "codecarbon")
    with pytest.raises(MissingError, match="codecarbon not installed"):
        grid.require(Carbon(zone="DE"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "g_per_kwh, source, year missing"),
        ({"g_per_kwh": 56, "year": 2023}, "source missing"),
        ({"zone": "DE", "g_per_kwh": 56}, "give either the factor"),
        ({"zone": "Germany"}, "zone 'Germany' is neither a country, such as DE, nor"),
        ({"zone": "52.5"}, "neither a country"),
    ],
)
def test_a_suite_says_one_of_the_two(given: dict[str, Any], message: str) -> None:
    """A factor is whole, or a zone is given; a zone is one that can be asked for."""
    with pytest.raises(ValueError, match=message):
        Carbon(**given)
