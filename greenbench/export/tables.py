"""Every row and column as they are, as CSV or Parquet, and what each compressed variant gained and lost."""

from io import BytesIO

import pandas as pd

from greenbench.analysis import gains
from greenbench.export import Documents, Results
from greenbench.files.unicode import for_csv
from greenbench.metrics import METRICS


def csv(results: Results) -> Documents:
    """Return all rows as CSV in UTF-8: flags separated by spaces, what is unknown empty."""
    rows = _typed(results)
    texts = rows.assign(flags=rows["flags"].map(" ".join))
    return {"": texts.apply(lambda column: column.map(for_csv)).to_csv(index=False).encode()}


def parquet(results: Results) -> Documents:
    """Return all rows as Parquet: counts and bytes are integers, flags a list, what is unknown null."""
    buffer = BytesIO()
    _typed(results).to_parquet(buffer, engine="pyarrow", index=False)
    return {"": buffer.getvalue()}


def _typed(results: Results) -> pd.DataFrame:
    """Join the gains, and give whole numbers their type back, which a missing one among them takes away."""
    rows = gains.with_gains(results.rows, results.folder)
    whole = [name for name in METRICS if name.startswith("n_") or name.endswith("_bytes")]
    typed: pd.DataFrame = rows.astype(dict.fromkeys(whole, "Int64"))
    return typed
