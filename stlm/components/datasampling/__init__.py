"""Data sampling: in which order the windows of the training data are seen."""
