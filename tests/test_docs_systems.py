"""The page of published systems names what exists, and every method of the package that comes from a paper."""

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from greenbench.compress.distill import Distill
from greenbench.compress.distill.settings import LOSS_NAMES
from greenbench.metrics import METRICS
from greenbench.recipes.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reference/systems.md").read_text(encoding="utf-8")
METHODS = {point.name: point for point in entry_points(group="greenbench.methods")}
NAMES = sorted(set(re.findall(r"`([^`]+)`", PAGE)))
OPTIONS = re.compile(r"`([\w-]+)` with `(\w+): (\w+)`")
PAPER = re.compile(r"arXiv \d{4}\.\d{5}|\((?:ICLR|MLSP|SustaiNLP) 20\d\d\)")


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_exists(name: str) -> None:
    """A file, a plug-in, a setting or loss of ``distill``, a key of a recipe, a column, or an option."""
    settings = get_type_hints(Distill)
    options = {f"{key}: {value}" for _, key, value in OPTIONS.findall(PAGE)}
    others = {point.name for group in ("tasks", "datasets") for point in entry_points(group=f"greenbench.{group}")}
    known = {*METHODS, *others, *settings, *LOSS_NAMES, *METRICS, *Recipe.model_fields, *options}
    assert (ROOT / name).is_file() if "/" in name else name in known


@pytest.mark.parametrize(("method", "key", "value"), OPTIONS.findall(PAGE))
def test_an_option_is_one_of_its_method(method: str, key: str, value: str) -> None:
    """It can be set so."""
    kind = METHODS[method].load()
    choices = get_args(get_type_hints(kind)[key])
    assert value in {text for choice in choices for text in (choice, *get_args(choice))}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_from_a_paper_is_on_the_page(name: str) -> None:
    """Its docstring cites the paper."""
    if PAPER.search(METHODS[name].load().__doc__ or ""):
        assert f"`{name}`" in PAGE
