"""Judges, which answer a benchmark's questions; this room asks those that a server answers for."""
