"""The project's tasks: nox runs them all, `nox -s test` one of them, each in an environment of its own."""

import nox

nox.options.sessions = ["lint", "types", "test"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff>=0.8")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[dev]")
    session.run("mypy", "--strict", "greenbench")


@nox.session
def test(session: nox.Session) -> None:
    """Run the tests of README's command: what measures alone, after the others in three processes."""
    session.install("-e", ".[test]")
    beside = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
    session.run("pytest", *beside, "-m", "not slow and not measures", *session.posargs)
    session.run("pytest", "-m", "measures and not slow", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that train, export, compile or calibrate a model."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "2", "--dist", "worksteal", "-m", "slow and not matrix", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """Run every family of models with every build."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "2", "--dist", "worksteal", "-m", "matrix", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damage every kind of file that is read back 100,000 times; CI does so 1,000 times each."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/fuzz", "--timeout", "0", *session.posargs, env={"GREENBENCH_FUZZ": "100000"})


@nox.session
def bench(session: nox.Session) -> None:
    """Check the speed goals."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/benchmarks", "--benchmark-only", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated parts of all documents anew."""
    session.install("-e", ".[test]")
    session.run("python", "tools/readme.py")
    session.run("python", "tools/rooms.py")


@nox.session
def site(session: nox.Session) -> None:
    """Build the documentation as a site, in site/; a broken link or reference fails."""
    session.install("-e", ".[docs]")
    session.run("zensical", "build", "--strict", "--clean")


@nox.session
def kills(session: nox.Session) -> None:
    """Kill commands a hundred times at random steps on the disk, and check that what is left is whole."""
    session.install("-e", ".[test]")
    session.run("python", "tools/kill_campaign.py", *session.posargs)
