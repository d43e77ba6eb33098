"""How results are shown: rows -> tidy frame (frames) -> Plotly (figures) -> one HTML file (pages)."""
