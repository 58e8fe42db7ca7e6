"""Samplers: how the next token is drawn from the scores of all tokens."""
