"""A model folder as transformers is shown it: its weights, and of the rest only what the computation follows from."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stlm.data.storage import read_json, reported_as
from stlm.interchange.stored import INDEX, SINGLE, weight_files

_LABELS = ("num_labels", "id2label", "label2id")
"""Keys about classifiers; transformers would make a list of as many labels as they say, which may be any number."""


@contextmanager
def shown_to_transformers(folder: Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """Give a folder, for the time of the block, that links to the weights in ``folder`` and has this config.json.

    An index may lack the `metadata` that transformers asks for, a config.json may begin with a mark of its encoding.
    """
    said = {key: value for key, value in config.items() if key not in _LABELS}
    with reported_as("cannot write a temporary folder"), tempfile.TemporaryDirectory(prefix="stlm-") as name:
        shown, files = Path(name), weight_files(folder)
        for file in files:
            (shown / file.name).symlink_to(file.absolute())
        (shown / "config.json").write_text(json.dumps(said))
        if files != [folder / SINGLE]:
            index = {"metadata": {}, "weight_map": read_json(folder / INDEX)["weight_map"]}
            (shown / INDEX).write_text(json.dumps(index))
        yield shown
