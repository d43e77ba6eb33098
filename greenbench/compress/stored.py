"""How a model's folder loads elsewhere: in float32, however its weights are stored."""

import json
from pathlib import Path


def load_as_float32(folder: Path) -> None:
    """Write float32 into a folder's ``config.json``, by which transformers chooses what it loads the weights as.

    Weights that are stored in 16 bits to save room would otherwise run in 16 bits too, slowly on most CPUs and with
    other texts than those that were measured. What greenbench itself runs a student in, its lineage says.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)  # the name before transformers 5
    path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
