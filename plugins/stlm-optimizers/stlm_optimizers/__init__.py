"""Optimizers and learning-rate schedules for stlm."""
