"""Every row and column as they are, as CSV or Parquet, and what each compressed variant gained and lost."""

from io import BytesIO

import pandas as pd

from greenbench.analysis import gains
from greenbench.export import Documents, Results
from greenbench.files.forms import MOST_WHOLE
from greenbench.files.unicode import for_csv
from greenbench.metrics import METRICS
from greenbench.provenance import as_text
from greenbench.results.frames import TIMES


def csv(results: Results) -> Documents:
    """Return all rows as CSV in UTF-8: flags separated by spaces, what is unknown empty."""
    rows = _typed(results)
    texts = rows.assign(flags=rows["flags"].map(" ".join), **{name: rows[name].map(as_text) for name in TIMES})
    return {"": texts.apply(lambda column: column.map(for_csv)).to_csv(index=False).encode()}


def parquet(results: Results) -> Documents:
    """Return all rows as Parquet: counts and bytes are integers, flags a list, what is unknown null."""
    buffer = BytesIO()
    _typed(results).to_parquet(buffer, engine="pyarrow", index=False)
    return {"": buffer.getvalue()}


def _typed(results: Results) -> pd.DataFrame:
    """Join the gains, and give counts and bytes that are whole their type back, which frames of metrics lack."""
    rows = gains.with_gains(results.rows, results.folder)
    counted = [name for name in METRICS if name.startswith("n_") or name.endswith("_bytes")]
    typed: pd.DataFrame = rows.astype({name: "Int64" for name in counted if _is_whole(rows[name])})
    return typed


def _is_whole(column: "pd.Series[float]") -> bool:
    """Say whether all known numbers of a column are whole, and exact as they are."""
    known = column.dropna()
    return bool(((known % 1 == 0) & (known <= MOST_WHOLE)).all())
