"""Publishing on the hub: its own client speaks with a stand-in of the hub's HTTP interface on this machine."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from greenbench import extras
from greenbench.cli import app
from greenbench.errors import InputError, MissingError
from greenbench.results import store
from greenbench.sharing import hub
from greenbench.sharing.hub import Upload

huggingface_hub = pytest.importorskip("huggingface_hub", minversion="1.4")
constants = pytest.importorskip("huggingface_hub.constants")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's client

SECRET = "hf_made_up"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CELL: dict[str, Any] = {"variant": "a", "n_wrong": 1, "rounds": [{"wall_s": 1.0 + i / 100} for i in range(3)]}


class Hub(ThreadingHTTPServer):
    """Repositories in memory: what stands in each, by path; binary files come as the hub takes them, by Git LFS."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.commits: list[dict[str, Any]] = []
        self.requests: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None: ...

    def answer(self, status: int, content: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        repo, _, name = self.path.lstrip("/").partition("/resolve/main/")
        name = name or self.path.rpartition(f"/resolve/{COMMIT}/")[2]
        files = self.server.repos.get(f"models/{repo.partition('/resolve/')[0]}")
        if files is None:
            self.answer(404, X_Error_Code="RepoNotFound")
        elif name not in files:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        else:
            etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
            self.answer(200, files[name], ETag=etag, X_Repo_Commit=COMMIT)

    def do_PUT(self) -> None:
        content = self.body()
        self.server.blobs[hashlib.sha256(content).hexdigest()] = content
        self.answer(200)

    def body(self) -> bytes:
        """Return what was sent, in one piece or in chunks."""
        if length := self.headers.get("Content-Length"):
            return self.rfile.read(int(length))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        content = self.body()
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self.answer(403)
        elif self.path == "/api/validate-yaml":
            self.answer(200, b'{"errors": [], "warnings": []}')
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(content))
        else:
            _, _, kind, owner, name, action, _ = self.path.partition("?")[0].split("/")
            repo = self.server.repos.get(f"{kind}/{owner}/{name}")
            if repo is None:
                self.answer(404, X_Error_Code="RepoNotFound")
            elif action == "preupload":
                self._preupload(json.loads(content), repo)
            else:
                self._commit([json.loads(line) for line in content.splitlines()], repo, f"{owner}/{name}")

    def _preupload(self, asked: dict[str, Any], repo: dict[str, bytes]) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if b"\0" in base64.b64decode(file["sample"]) else "regular",
                "shouldIgnore": False,
            }
            for file in asked["files"]
        ]
        self.answer(200, json.dumps({"files": modes}).encode(), Content_Type="application/json")

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/blob/{one['oid']}"}}} for one in asked["objects"]
        ]
        answer = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self.answer(200, answer, Content_Type="application/vnd.git-lfs+json")

    def _commit(self, lines: list[dict[str, Any]], repo: dict[str, bytes], name: str) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repo[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo[value["path"]] = self.server.blobs[value["oid"]]
            else:
                self.server.commits.append(value)
        url = f"{self.server.url}/{name}/commit/{COMMIT}"
        self.answer(200, json.dumps({"success": True, "commitOid": COMMIT, "commitUrl": url}).encode())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with an empty repository of each kind, and a token for it in the environment."""
    with Hub() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.repos = {f"{kind}s/me/mine": {} for kind in ("model", "dataset", "space")}
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", SECRET)
        yield running
        running.shutdown()


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# --- the three things that are published -----------------------------------------------------------------


def test_an_entry_goes_into_a_data_set(server: Hub, sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """What lies in the repository afterwards is the very file that was packed, which a leaderboard reads."""
    packed = tmp_path / "mine.zip"
    done = call("submit", sound_run("r1", CELL), "--out", packed, "--yes", "--push-to", "me/mine")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(f"published in dataset me/mine: {server.url}/me/mine/commit/{COMMIT}\n")
    assert server.repos["datasets/me/mine"] == {"entries/mine.zip": packed.read_bytes()}
    assert [commit["summary"] for commit in server.commits] == ["Entry mine.zip"]
    assert SECRET not in done.output


def test_a_board_goes_into_a_space(server: Hub, sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """All files of the site, and nothing else that lies in its folder; the space's own files stay."""
    server.repos["spaces/me/mine"] = {"README.md": b"---\nsdk: static\n---\n"}
    site = tmp_path / "site"
    site.mkdir()
    (site / "notes.txt").write_text("private")
    done = call("leaderboard", sound_run("r1", CELL), "--out", site, "--push-to", "me/mine")
    assert done.exit_code == 0, done.output
    there = server.repos["spaces/me/mine"]
    assert there.pop("README.md").startswith(b"---\nsdk: static")
    assert {"index.html", "leaderboard.json", "leaderboard.csv", "feed.xml"} < set(there)
    assert there == {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file() and path.name != "notes.txt"
    }


def test_results_go_into_a_cards_metadata(
    server: Hub, sound_run: Callable[..., Path], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """The hub's own library reads them there; text, other keys and others' results stay; again, nothing is double."""
    theirs = {
        "task": {"type": "automatic-speech-recognition"},
        "dataset": {"type": "other", "name": "Other"},
        "metrics": [{"type": "wer", "value": 9.5, "name": "WER"}],
    }
    before = yaml.safe_dump({"license": "mit", "model-index": [{"name": "Mine", "results": [theirs]}]})
    server.repos["models/me/mine"] = {"README.md": f"---\n{before}---\n# Mine\n\nText.\n".encode()}
    run = sound_run("r1", CELL)
    for _ in range(2):
        line = ["export", run, "--format", "model-index", "--out", tmp_path / "card.yaml", "--push-to", "me/mine"]
        done = call(*line)
        assert done.exit_code == 0, done.output
    text = server.repos["models/me/mine"]["README.md"].decode()
    card = huggingface_hub.ModelCard(text)
    assert card.text.strip() == "# Mine\n\nText."
    assert (card.data.license, card.data.model_name) == ("mit", "Mine")
    found = [(one.dataset_name, one.metric_type, one.metric_value) for one in card.data.eval_results]
    assert found[0] == ("Other", "wer", 9.5)
    own = yaml.safe_load((tmp_path / "card.yaml").read_text())["model-index"][0]["results"]
    assert found[1:] == [(one["dataset"]["name"], m["type"], m["value"]) for one in own for m in one["metrics"]]
    assert {commit.get("parentCommit") for commit in server.commits} == {COMMIT}


def test_a_repository_without_a_card_gets_one(server: Hub, sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Metadata alone."""
    done = call(
        "export", sound_run("r1", CELL), "--format", "model-index", "--out", tmp_path / "c.yaml", "--push-to", "me/mine"
    )
    assert done.exit_code == 0, done.output
    assert huggingface_hub.ModelCard(server.repos["models/me/mine"]["README.md"].decode()).data.model_name == "a"


def test_evaluation_results_go_where_the_hub_looks(server: Hub, tmp_path: Path) -> None:
    """In `.eval_results/`, by the name of this program."""
    (tmp_path / "e.yaml").write_text("[]\n")
    url = hub.push(hub.of_export("eval-results", [tmp_path / "e.yaml"], "me/mine"), "Results")
    assert url.endswith(COMMIT)
    assert server.repos["models/me/mine"] == {".eval_results/greenbench.yaml": b"[]\n"}


# --- what is not sent ------------------------------------------------------------------------------------


def test_a_dry_run_sends_nothing(
    server: Hub, sound_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists the files with their sizes, and needs neither a token nor the library."""
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "huggingface_hub")
    run, to = sound_run("r1", CELL), ("--push-to", "me/mine", "--dry-run")
    done = call("submit", run, "--out", tmp_path / "mine.zip", "--yes", *to)
    size = (tmp_path / "mine.zip").stat().st_size
    assert done.stdout.splitlines()[-1] == f"would publish in dataset me/mine: entries/mine.zip: {size} bytes"
    done = call("leaderboard", run, "--out", tmp_path / "site", *to)
    assert "would publish in space me/mine: index.html: " in done.stdout
    done = call("export", run, "--format", "model-index", "--out", tmp_path / "card.yaml", *to)
    assert done.stdout.endswith(
        "would publish in model me/mine: README.md: 1 results in its metadata, nothing else changed\n"
    )
    assert server.requests == []


def test_without_the_option_nothing_is_sent(server: Hub, sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """A token in the environment publishes nothing by itself."""
    call("submit", sound_run("r1", CELL), "--out", tmp_path / "mine.zip", "--yes")
    assert server.requests == []


# --- what cannot be --------------------------------------------------------------------------------------


def entry() -> Upload:
    return Upload("me/mine", "dataset", {"entries/e.zip": b"content"})


def test_each_refusal_is_one_line(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that is not there, a token that may not write, a hub that is not reached; no token is printed."""
    with pytest.raises(MissingError) as caught:
        hub.push(Upload("me/other", "dataset", {"a": b"b"}), "m")
    assert str(caught.value).startswith("dataset me/other: nothing was published: there is no such repository")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(MissingError, match=r"HF_TOKEN may not write there \(HTTP 403\)") as caught:
        hub.push(entry(), "m")
    assert "somebody" not in str(caught.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingError, match="nothing was published: OfflineModeIsEnabled: ") as caught:
        hub.push(entry(), "m")
    assert "\n" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="set HF_TOKEN to a token"):
        hub.push(entry(), "m")
    assert server.repos["datasets/me/mine"] == {}


def test_a_card_that_cannot_be_read_is_not_replaced(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that fails while the card is read is no card that is missing: nothing is written."""

    def fails(*_: Any, **__: Any) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", fails)
    result = {"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"}, "metrics": [{"type": "wer", "value": 1.0}]}
    with pytest.raises(MissingError, match="nothing was published: LocalEntryNotFoundError: no connection"):
        hub.push(Upload("me/mine", "model", model_index=[{"name": "a", "results": [result]}]), "m")
    assert server.repos["models/me/mine"] == {}


def test_a_missing_library_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "huggingface_hub")
    with pytest.raises(MissingError, match=r"huggingface-hub not installed: pip install 'greenbench\[hub\]'"):
        hub.push(entry(), "m")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "model-index", "--push-to", "mine"], "a repository on the hub is OWNER/NAME"),
        (["--format", "csv", "--push-to", "me/mine"], "only the formats eval-results and model-index are published"),
        (["--format", "model-index", "--push-to", "me/mine"], "and these are of 2. Name one with --variant"),
        (["--format", "model-index", "--dry-run"], "name a repository"),
        (["--format", "model-index", "--variant", "c*"], "--variant c*: none matches"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    sound_run: Callable[..., Path], tmp_path: Path, options: list[str], message: str
) -> None:
    """Before anything is sent: other formats, several variants, no repository."""
    run = sound_run("r1", CELL, {**CELL, "variant": "b"})
    done = call("export", run, "--out", tmp_path / "out", *options)
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)


def test_one_variant_of_several_is_exported(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """`--variant` takes a glob."""
    run = sound_run("r1", CELL, {**CELL, "variant": "b+int8"})
    call("export", run, "--format", "model-index", "--out", tmp_path / "card.yaml", "--variant", "b*")
    (model,) = yaml.safe_load((tmp_path / "card.yaml").read_text())["model-index"]
    assert model["name"] == "b+int8"
    assert store.read_run(run)["run_id"] == "r1"
