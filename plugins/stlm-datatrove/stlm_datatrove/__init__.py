"""Tokens of an stlm spec, prepared by the tasks of a datatrove pipeline."""

from stlm_datatrove.steps import MergeManifest, PrepareTokens

__all__ = ["MergeManifest", "PrepareTokens"]
