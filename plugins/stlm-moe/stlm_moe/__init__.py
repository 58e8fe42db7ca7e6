"""Mixtures of experts for stlm."""
