"""The declarations of the built-in components: one folder a kind, one file a component, no torch at their heads."""
