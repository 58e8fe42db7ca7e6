"""Core models: what happens between embedding and head."""
