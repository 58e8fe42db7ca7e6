"""The declarations; a file bears the name that a spec uses."""
