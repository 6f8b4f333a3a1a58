"""The kit: a reproducible benchmark of instruction evolution (arXiv 2412.11231)."""

__version__ = "0.1.0"
