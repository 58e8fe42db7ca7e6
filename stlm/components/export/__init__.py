"""Exports: which published architectures a model can be written as."""
