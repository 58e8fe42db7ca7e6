"""Spec to Program: the network on the meta device or a real one, what it costs, and what it can be exported as."""

from stlm.compiler.program import Program, compile
from stlm.compiler.report import Report

__all__ = ["Program", "Report", "compile"]
