"""Text becomes tokens, tokens become files, files become batches: preparing, storing and serving training data."""
