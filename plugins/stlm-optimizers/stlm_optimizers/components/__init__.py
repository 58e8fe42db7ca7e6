"""The declarations: a file bears the name that specs use."""
