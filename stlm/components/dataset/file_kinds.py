"""Which files are data, by how their names end, and how each is read."""

KINDS = {".txt": ".txt", ".jsonl": ".jsonl", ".ndjson": ".jsonl", ".parquet": ".parquet"}
"""The kind that an ending stands for."""

COMPRESSIONS = (".gz", ".zst")
"""What may follow an ending, but for Parquet's, which is compressed within."""

SUFFIXES = (*KINDS, *(ending + more for ending in KINDS if ending != ".parquet" for more in COMPRESSIONS))
"""Every way in which the name of a data file ends."""
