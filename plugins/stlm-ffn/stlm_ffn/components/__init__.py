"""The declarations: one folder a kind, a file bears the name that a spec uses."""
