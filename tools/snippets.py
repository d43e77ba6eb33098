"""The fenced blocks of the documentation: read, and checked against the command line, the schemas and the modules.

A comment before a fence says what the tests do with it: ``<!-- not run: REASON -->`` leaves it at the checks, and
``<!-- in the tests: 600 -> 4; exit code 1 -->`` changes it before it runs, or says how it ends.
"""

import ast
import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import reference
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
LANGUAGES = ("sh", "yaml", "python", "toml", "json", "dockerfile")
GENERATED = re.compile(r"<!-- generated: [\w-]+ -->.*?<!-- end -->", re.S)

PROGRAMS = (
    "accelerate", "bash", "chmod", "copier", "docker", "echo", "export", "git", "hf", "jetson_clocks", "kill", "nox",
    "nvidia-smi", "nvpmodel", "pip", "pytest", "python", "python3", "ray", "scp", "ssh", "tee",
)  # fmt: skip
"""Programs of others that the documentation calls."""

SESSIONS = re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"), flags=re.M)
"""Sessions of nox."""

COMMANDS = reference.commands()

PROGRAM = {"--help", "COMMAND", *reference.program_options()}
"""What may follow the program's name in place of a command."""


@dataclass(frozen=True)
class Snippet:
    """A fenced block.

    Attributes:
        document: that it stands in.
        line: of its fence, from 1.
        language: of the fence.
        text: as it stands.
        not_run: why the tests only check it; None where they run it.
        changes: what the tests replace in it before they run it.
        exit_code: that a shell block ends with.
    """

    document: Path
    line: int
    language: str
    text: str
    not_run: str | None = None
    changes: tuple[tuple[str, str], ...] = ()
    exit_code: int = 0

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that it is, from a first line such as ``# suite.yaml``."""
        found = re.match(r"# ([\w.-]+\.(?:yaml|py|toml|sh))\n", self.text)
        return found[1] if found else None

    def changed(self) -> str:
        """Return the text as the tests run it.

        Raises:
            ValueError: it does not hold what is to be replaced.
        """
        text = self.text
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"{self.place}: there is no '{old}' to replace")
            text = text.replace(old, new)
        return text


def read(document: Path) -> list[Snippet]:
    """Return the fenced blocks of a document, but for generated ones.

    Raises:
        ValueError: a fence without a known language, or a comment that stands before none.
    """
    text = GENERATED.sub(lambda found: "\n" * found[0].count("\n"), document.read_text(encoding="utf-8"))
    found, before = [], ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence":
            found.append(_snippet(document, token, before))
        elif before:
            raise ValueError(f"{document}: '{before}' is before no fence")
        directive = re.fullmatch(r"<!-- ((?:not run|in the tests): .*) -->", token.content.strip())
        before = directive[1] if token.type == "html_block" and directive else ""
    return found


def _snippet(document: Path, token: Any, before: str) -> Snippet:
    line = token.map[0] + 1
    if token.info not in LANGUAGES:
        raise ValueError(f"{document}:{line}: a fence of '{token.info}'; known: {', '.join(LANGUAGES)}")
    kind, _, told = before.partition(": ")
    if kind == "not run":
        return Snippet(document, line, token.info, token.content, not_run=told)
    orders = [order for order in told.split("; ") if order]
    codes = [int(order.removeprefix("exit code ")) for order in orders if order.startswith("exit code ")]
    changes = [order.partition(" -> ")[::2] for order in orders if " -> " in order]
    return Snippet(document, line, token.info, token.content, None, tuple(changes), *codes)


def inline(document: Path) -> Iterator[str]:
    """Yield what a document's prose has as code."""
    text = GENERATED.sub("", document.read_text(encoding="utf-8"))
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


# --- shell -----------------------------------------------------------------------------------------------


def check_shell(text: str) -> None:
    """Check each command of a shell block.

    Raises:
        ValueError: an unknown program, command, option or extra, or a value that the command line refuses.
    """
    for words in commands(text):
        _check_command(words)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell text as words, without redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in ("|", "&&", "||", ";"):
                if words:
                    yield [w for n, w in enumerate(words) if w != ">" and (n == 0 or words[n - 1] != ">")]
                words = []
            else:
                words.append(word)


def _check_command(words: list[str]) -> None:
    program, *arguments = words
    if program == "sudo":
        _check_command(arguments)
    elif "greenbench" in (Path(program).name, *(arguments[1:2] if arguments[:1] == ["-m"] else ())):
        check_greenbench(arguments[2:] if arguments[:1] == ["-m"] else arguments)
    elif program != "." and Path(program).name not in PROGRAMS:
        raise ValueError(f"{program}: not a program that the documentation knows")
    _check_project(program, arguments)
    for word in arguments:
        check_extras(word)


def _check_project(program: str, arguments: list[str]) -> None:
    """Check what a command takes from this project: sessions of nox, and scripts by their path."""
    for flag, session in pairwise(arguments) if program == "nox" else ():
        if flag == "-s" and session not in SESSIONS:
            raise ValueError(f"nox -s {session}: no such session; known: {', '.join(SESSIONS)}")
    script = next((word for word in arguments if re.match(r"(tools|tests|\.ci)/", word)), None)
    if script is not None and not (ROOT / script).exists():
        raise ValueError(f"{program} {script}: no such file")


def check_extras(word: str) -> None:
    """Check the extras that a requirement such as ``greenbench[onnx]`` or ``.[dev]`` names."""
    found = re.fullmatch(r"(?:greenbench|\.)\[([\w,-]+)\]", word)
    declared = re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    unknown = set(found[1].split(",")) - set(declared) if found else set()
    if unknown:
        raise ValueError(f"{word}: no such extra: {', '.join(unknown)}")


def check_greenbench(arguments: list[str]) -> None:
    """Let the command line itself parse arguments, and check values that it checks only when it runs.

    Raises:
        ValueError: what it refuses.
    """
    name = command_of(arguments)
    try:
        context = COMMANDS[name].make_context(name, arguments[len(name.split()) :]) if name else None
    except Exception as error:  # of click, or of the copy of it that typer brings
        raise ValueError(f"greenbench {shlex.join(arguments)}: {error}") from error
    for parameter, value in context.params.items() if context else ():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and parameter in VALUES:
                VALUES[parameter](one)


def command_of(arguments: list[str]) -> str | None:
    """Return the command that arguments begin with; None for options of the program itself.

    Raises:
        ValueError: there is no such command.
    """
    if arguments and arguments[0] in PROGRAM:
        return None
    name = next((" ".join(arguments[:n]) for n in (2, 1) if " ".join(arguments[:n]) in COMMANDS), None)
    if name is None:
        raise ValueError(f"greenbench {' '.join(arguments[:2])}: no such command")
    return name


def check_inline(code: str) -> None:
    """Check a mention in prose, which may leave out what a command needs: the command, its options, extras.

    Raises:
        ValueError: there is no such command, option or extra.
    """
    words = code.split()
    for word in words:
        check_extras(word.strip("'"))
    if words[:1] == ["nox"]:
        _check_project(*words[:1], words[1:])
    if words[:1] != ["greenbench"] or len(words) == 1:
        return
    name = command_of(words[1:])
    valid = {option for p in COMMANDS[name].params for option in p.opts} | {"--help"} if name else PROGRAM
    unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - valid
    if unknown:
        raise ValueError(f"{code}: no such option: {', '.join(sorted(unknown))}")


def _among(names: Callable[[], Any]) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in names():
            raise ValueError(f"{value}: not one of {', '.join(names())}")

    return check


def _check_scoring(name: str) -> None:
    from greenbench.text import scorers

    if problem := scorers.unknown([name]):
        raise ValueError(problem)


def _check_assignment(text: str) -> None:
    """Check the first key of ``--set``; the rest is checked where the file is read."""
    from greenbench.recipes.recipe import Recipe
    from greenbench.suite.config import Suite

    _among(lambda: {**Suite.model_fields, **Recipe.model_fields})(text.partition("=")[0].partition(".")[0])


def _values() -> Mapping[str, Callable[[Any], Any]]:
    from greenbench.analysis import acceptance, gate, thresholds
    from greenbench.export import FORMATS
    from greenbench.hardware.devices import PATTERN
    from greenbench.metrics import METRICS
    from greenbench.results.comparability import CROSSABLE
    from greenbench.suite.protocol import PROTOCOLS

    return {
        "protocol": _among(lambda: PROTOCOLS), "form": _among(lambda: FORMATS), "metric": _among(lambda: METRICS),
        "across": _among(lambda: CROSSABLE), "fail_on": thresholds.parse, "gate": gate.parse,
        "accept": acceptance.parse,
        "device": lambda value: re.fullmatch(PATTERN, value) or _among(lambda: [PATTERN])(value),
        "normalizer": _check_scoring, "overrides": _check_assignment,
    }  # fmt: skip


VALUES = _values()
"""Values that a command checks when it runs, by the parameter's name."""


# --- YAML and Python -------------------------------------------------------------------------------------

WORKFLOW = {"name", True, "permissions", "jobs", "concurrency", "env"}  # YAML reads `on` as true
"""Keys of a GitHub workflow."""


def check_yaml(text: str, folder: Path) -> None:
    """Load a suite or a recipe with its own loader, and check the commands of a workflow.

    Args:
        text: of the block.
        folder: to write it to, so that it is read as a user's file is.

    Raises:
        ValueError, GreenbenchError: what is wrong.
    """
    from greenbench.files import whole
    from greenbench.recipes import recipe
    from greenbench.suite import config

    data = yaml.safe_load(text)
    path = folder / "checked.yaml"
    whole.write(path, text)
    if "variants" in data:
        config.load(path)
    elif "steps" in data:
        recipe.load(path)
    elif "jobs" in data and set(data) <= WORKFLOW:
        runs = [step["run"] for job in data["jobs"].values() for step in job["steps"] if "run" in step]
        for run in runs:
            check_shell(re.sub(r"\$\{\{.*?\}\}", "X", run))
    else:
        raise ValueError("neither a suite, nor a recipe, nor a workflow")


def check_python(text: str) -> None:
    """Compile a block, and look up what it imports from greenbench and calls of it.

    Raises:
        ValueError, SyntaxError, ImportError: what is wrong.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "greenbench":
            module = import_module(str(node.module))
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            if missing:
                raise ValueError(f"{node.module} has no {', '.join(missing)}")
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("greenbench."):
            called = getattr(import_module("greenbench"), ast.unparse(node.func).partition(".")[2])
            inspect.signature(called).bind(*node.args, **{str(k.arg): k.value for k in node.keywords})


def check(snippet: Snippet, folder: Path) -> None:
    """Check a block by its language; ``folder`` may be written to.

    Raises:
        ValueError: what is wrong, and where.
    """
    try:
        if snippet.language == "sh" and not snippet.file:
            check_shell(snippet.text)
        elif snippet.language == "yaml":
            check_yaml(snippet.text, folder)
        elif snippet.language == "python":
            check_python(snippet.text)
    except (ValueError, ImportError, AttributeError, TypeError, SyntaxError) as error:
        raise ValueError(f"{snippet.place}: {error}") from error
