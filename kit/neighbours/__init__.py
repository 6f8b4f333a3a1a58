"""Distances of rows to their nearest neighbours: embeddings of texts, an exact search in blocks, and densities."""

from kit.neighbours.search import BUDGET_BYTES, Neighbours, nearest

__all__ = ["BUDGET_BYTES", "Neighbours", "nearest"]
