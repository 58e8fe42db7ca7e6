"""Trainers: what happens between a compiled program and a trained model."""
