"""Data sets: where the documents come from that a model or a tokenizer is trained on."""
