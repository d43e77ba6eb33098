"""Forms: what a value that comes from outside must be, and in which words what it is not is said."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

Schema = Any

Form = Callable[[Any], list[str]]
"""Says what of a value is missing or of another type than it must be; nothing where it is as expected."""

MOST = 1e19
"""No number here is larger: sums and squares of such numbers are finite."""

MOST_WHOLE = 2**53
"""No count here is larger: up to here a float is exact, and tables have room for it."""

MAX_TOLD = 5
"""Problems of one value that are listed."""

ANY: Schema = core_schema.any_schema()
TEXT: Schema = core_schema.str_schema(strict=True)
FLAG: Schema = core_schema.bool_schema(strict=True)


def text(most: int, least: int = 0) -> Schema:
    """Return what is a text of so many characters."""
    return core_schema.str_schema(strict=True, min_length=least, max_length=most)


def number(least: float = -MOST, most: float = MOST) -> Schema:
    """Return what is a finite number between two, these included."""
    return core_schema.float_schema(strict=True, allow_inf_nan=False, ge=least, le=most)


def above(least: float, most: float = MOST) -> Schema:
    """Return what is a finite number above one, and at most another."""
    return core_schema.float_schema(strict=True, allow_inf_nan=False, gt=least, le=most)


def count(least: int = 0, most: int = 10**9) -> Schema:
    """Return what is an integer between two, these included."""
    return core_schema.int_schema(strict=True, ge=least, le=most)


def whole() -> Schema:
    """Return what is a number without sign or fraction, ``5.0`` too, of at most ``MOST_WHOLE``."""
    return core_schema.chain_schema(
        [
            number(0, MOST_WHOLE),
            core_schema.custom_error_schema(
                core_schema.int_schema(),
                custom_error_type="whole",
                custom_error_message="Input should be a count, which is whole,",
            ),
        ]
    )


def or_null(schema: Schema) -> Schema:
    """Return what is null or something else."""
    return core_schema.nullable_schema(schema)


def record(
    needed: Mapping[str, Schema],
    nullable: Mapping[str, Schema] | None = None,
    given: Mapping[str, Schema] | None = None,
) -> Schema:
    """Return what is an object with certain keys, and any others.

    Args:
        needed: key -> its value; it must be there.
        nullable: key -> its value where it is there, which may be null, too.
        given: key -> its value where it is there.
    """
    of = core_schema.typed_dict_field
    return core_schema.typed_dict_schema(
        {
            **{name: of(schema, required=True) for name, schema in needed.items()},
            **{name: of(or_null(schema), required=False) for name, schema in (nullable or {}).items()},
            **{name: of(schema, required=False) for name, schema in (given or {}).items()},
        }
    )


def each(values: Schema) -> Schema:
    """Return what is an object whose values are all of one kind."""
    return core_schema.dict_schema(TEXT, values)


def several(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """Return what is a list of so many items of one kind."""
    return core_schema.list_schema(items, min_length=least, max_length=most, strict=True)


def one_of(values: Sequence[Any]) -> Schema:
    """Return what is one of several values."""
    return core_schema.literal_schema(list(values))


def both(first: Schema, second: Schema) -> Schema:
    """Return what satisfies two."""
    return core_schema.chain_schema([first, second])


def either(schemas: Sequence[Schema], what: str) -> Schema:
    """Return what satisfies one of several, which together are called ``what``."""
    return core_schema.union_schema(
        list(schemas), custom_error_type="either", custom_error_message=f"Input should be {what}"
    )


def form(schema: Schema, also: Callable[[Any], Iterable[str]] | None = None) -> Form:
    """Return a form, which is compiled when it is first used.

    Args:
        schema: of an object.
        also: yields what is wrong with one that satisfies the schema.
    """

    @lru_cache
    def validator() -> SchemaValidator:
        return SchemaValidator(schema)

    def check(content: Any) -> list[str]:
        if not isinstance(content, dict):
            return [f"a JSON object is expected, not {kind(content)}"]
        try:
            validator().validate_python(content)
        except ValidationError as error:
            return faults(error)
        return [] if also is None else list(also(content))

    return check


def faults(error: ValidationError) -> list[str]:
    """Return what a value is not, each with its place in it; of many the first ones."""
    return [_told(dict(problem)) for problem in error.errors(include_url=False)[:MAX_TOLD]]


def _told(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{place}: missing"
    if problem["type"] == "less_than_equal" and problem["ctx"]["le"] in (MOST, MOST_WHOLE):
        return f"{place}: {problem['input']!r:.60} is more than any window can have"
    what = str(problem["msg"]).removeprefix("Input should be ")
    return f"{place}: {what} is expected, not {problem['input']!r:.60}"


def kind(value: Any) -> str:
    """Say what a value of JSON is, if not an object."""
    return {list: "a list", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
