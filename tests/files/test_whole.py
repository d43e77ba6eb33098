"""Files and folders are there whole or as they were, and nothing but ``whole`` writes where something may be."""

import ast
import ctypes
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from greenbench.files import whole

ROOT = Path(__file__).parents[2]

INTO_ITSELF = {"write_text", "write_bytes"}
INTO_FIRST = {"save_pretrained", "save_state", "to_csv", "to_parquet", "to_excel"}
INTO_SECOND = {"save", "save_file", "save_model", "savez", "copy", "copy2", "copyfile", "move"}
NEW = {"aside", "buffer"}
"""What these names hold is new: ``whole`` or a temporary folder gave it, or it is memory."""


def targets(call: ast.Call) -> list[ast.expr]:
    """Return what a call may cut or replace."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if name in ("open", "ZipFile"):
        words = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.Constant)]
        modes = [word for word in words if isinstance(word, str) and set(word) <= set("rwabtx+")]
        cuts = any("w" in mode or ("+" in mode and "a" not in mode) for mode in modes)
        is_method = name == "open" and owner is not None and len(call.args) <= 1
        return ([owner] if is_method else call.args[:1]) if cuts else []
    if name in INTO_ITSELF and owner is not None:
        return [owner]
    if name in ("rename", "replace") and owner is not None and not call.keywords:
        return call.args if len(call.args) == 1 else call.args[1:] if ast.unparse(owner) == "os" else []
    if name in INTO_FIRST or (owner is not None and ast.unparse(owner) == "np"):
        return call.args[:1] if name in INTO_FIRST | INTO_SECOND else []
    return call.args[1:2] if name in INTO_SECOND else []


def root(node: ast.AST) -> str:
    """Return the name that a path begins with: ``aside`` of ``str(aside / "a" / b)``."""
    while not isinstance(node, ast.Name):
        inner = [getattr(node, "left", None), getattr(node, "value", None), *getattr(node, "args", [])]
        found = next((one for one in inner if isinstance(one, ast.AST)), None)
        if found is None:
            return ""
        node = found
    return node.id


def cuts(source: str) -> Iterator[str]:
    """Yield each call that may cut or replace what is there, with its line."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if any(root(target) not in NEW for target in targets(call)):
            yield f"{call.lineno}: {ast.unparse(call)}"


def test_only_one_module_writes_where_something_may_be() -> None:
    """Everything else goes through it, or writes what is new; no file is an exception but the module itself."""
    sources = [*(ROOT / "greenbench").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    assert len(sources) > 150
    others = [path for path in sources if path.name != "whole.py"]
    found = [f"{path.relative_to(ROOT)}:{cut}" for path in others for cut in cuts(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'path.write_text("x")', "(folder / name).write_bytes(b)", 'open(path, "w")', 'path.open("wb")',
        'open(p, mode="w+")',
        'path.open(mode="w")', 'path.open("r+b")', 'zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED)',
        "frame.to_csv(out)",
        "model.save_pretrained(out)", "torch.save(state, path)", "save_file(tensors, folder / name)", "a.rename(b)",
        "os.replace(a, b)", "beside.replace(path)", "shutil.copy(a, b)", 'gzip.open(path, "wb")',
    ],
)  # fmt: skip
def test_the_search_finds_each_way_to_cut_a_file(line: str) -> None:
    """Otherwise it would prove nothing; the same into what is new is no fault."""
    assert len(list(cuts(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        '(aside / "a.json").write_text("x")', 'path.open("ab")', 'target.open("xb")', 'text.replace("a", "b")',
        "open(path)",
        "replace(row, name=1)", "frame.to_csv(index=False)", "model.save_pretrained(str(aside))",
        "frame.rename(columns=names)",
    ],
)  # fmt: skip
def test_the_search_lets_pass_what_cuts_nothing(line: str) -> None:
    """Reading, appending, creating, and the same words of text and tables."""
    assert list(cuts(line)) == []


WRITES_TWICE = """
import os, signal, sys
from pathlib import Path
from greenbench.files import whole
place, doomed = Path(sys.argv[1]), int(sys.argv[2])
seen = 0
def count(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "greenbench.exchange"):
        if str(place.parent) in str(arguments):
            seen += 1
            if seen == doomed:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""
FILE = WRITES_TWICE + 'whole.write(place, "new" * 1000)'
FOLDER = WRITES_TWICE + textwrap.dedent("""
    with whole.folder(place, keep=True) as aside:
        for name in "ab":
            (aside / name).unlink(missing_ok=True)
            (aside / name).write_text("new")
""")


def content(place: Path) -> dict[str, str]:
    """Return what is there, by name."""
    return {p.name: p.read_text() for p in place.iterdir()} if place.is_dir() else {"": place.read_text()}


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, form: str) -> None:
    """At each step on the disk in turn, until the write ends unharmed; then nothing unfinished is left beside it."""
    place = tmp_path / "at" / "place"
    old = {"": "old"} if form == "file" else {"a": "old", "b": "old", "kept": "mine"}
    new = {"": "new" * 1000} if form == "file" else {"a": "new", "b": "new", "kept": "mine"}
    place.parent.mkdir()
    n_killed = 0
    for step in range(1, 100):
        if form == "file":
            place.write_text("old")
        else:
            place.mkdir(exist_ok=True)
            for name, text in old.items():
                (place / name).write_text(text)
        command = [sys.executable, "-c", FILE if form == "file" else FOLDER, str(place), str(step)]
        code = subprocess.run(command, check=False).returncode
        assert content(place) in (old, new), f"step {step}"
        if code == 0:
            break
        assert code == -signal.SIGKILL
        n_killed += 1
    assert content(place) == new
    assert n_killed >= (3 if form == "file" else 8), "the kills came where they should"
    assert [p.name for p in place.parent.iterdir()] == ["place"], "what the killed ones left is gone"


def test_a_failed_write_leaves_the_old(tmp_path: Path) -> None:
    """Whatever the writer raises, the place is as it was and nothing lies beside it."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("old")
    with suppress(RuntimeError), whole.file(tmp_path / "file") as aside:
        aside.write_text("half")
        raise RuntimeError
    with suppress(RuntimeError), whole.folder(tmp_path / "folder") as aside:
        (aside / "a").write_text("half")
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert ((tmp_path / "file").read_text(), content(tmp_path / "folder")) == ("old", {"a": "old"})


def test_links_modes_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    """A link is followed, a file keeps its mode, and a pipe gets the bytes."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    whole.write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    done = subprocess.run(
        [sys.executable, "-c", "from greenbench.files import whole; from pathlib import Path; "
         "whole.write(Path('/dev/stdout'), 'piped')"], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "piped"


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_the_same_where_the_system_cannot_exchange(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are moved one by one, the last written last; what is gone is removed, what was there stays."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())  # a C library that has no such call
    place = tmp_path / "site"
    (place / "boards").mkdir(parents=True)
    for name in ("boards/old.html", "index.html", "CNAME"):
        (place / name).write_text("old")
    with whole.folder(place, keep=True, exchange=exchange) as aside:
        (aside / "boards" / "old.html").unlink()
        whole.write(aside / "index.html", "new")
        (aside / "boards" / "new.html").write_text("new")
    found = {p.relative_to(place).as_posix(): p.read_text() for p in place.rglob("*") if p.is_file()}
    assert found == {"index.html": "new", "boards/new.html": "new", "CNAME": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_only_what_dead_processes_left_is_removed(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    """What a living process, or a recent one of another machine, has not finished is not touched."""
    alive = start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = whole._here()
    names = {
        "dead": f".a.{here}-{gone.pid}-00000000.tmp",
        "alive": f".a.{here}-{alive.pid}-00000000.tmp",
        "elsewhere": f".a.{'0' * 6}-1-00000000.tmp",
        "long ago": f".a.{'0' * 6}-2-00000000.tmp",
        "not ours": ".a.swp",
    }
    for name in names.values():
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / names["long ago"], (1, 1))
    whole.write(tmp_path / "a", "new")
    left = {p.name for p in tmp_path.iterdir()} - {"a"}
    assert left == {names[name] for name in ("alive", "elsewhere", "not ours")}
