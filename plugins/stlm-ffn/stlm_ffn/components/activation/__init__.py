"""Activations: functions of each element."""
