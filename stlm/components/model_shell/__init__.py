"""Model shells: what joins embedder, core and head."""
