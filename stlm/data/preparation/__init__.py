"""Documents to tokens on the disk, once."""
