"""Models that read and write bytes."""
