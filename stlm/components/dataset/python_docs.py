"""The manual that comes with Python: a real, if small, corpus on every machine."""

from typing import Any

from stlm.registry import component


@component("dataset", "python_docs")
class PythonDocs:
    """English prose of Python's own manual, from `pydoc_data.topics`: a document a topic, in the order of their names.

    It differs a little from one version of Python to the next, and the fingerprint with it.
    """

    def build(self, spec: Any) -> Any:
        """Give the topics as documents."""
        from pydoc_data.topics import topics

        from stlm.data.sources.memory import TextDocuments

        return TextDocuments(tuple(topics[name] for name in sorted(topics)))
