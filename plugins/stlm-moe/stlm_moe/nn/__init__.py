"""What the components compute, in plain torch."""
