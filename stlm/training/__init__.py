"""Training: the loop, and what keeps a run: its state, folder, checkpoints, numbers and interruptions."""
