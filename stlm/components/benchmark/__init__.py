"""Benchmarks: what turns a row of a data set into a context, its choices, and the right one."""
