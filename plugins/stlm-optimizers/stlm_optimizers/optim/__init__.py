"""The optimizers themselves, as plain torch code."""
