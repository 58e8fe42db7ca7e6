"""Tokenizers: how text becomes the ids that a network sees."""
