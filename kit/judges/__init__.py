"""Judges, which answer a benchmark's questions: by the engine here, or as models that a server answers for.

A benchmark says what is asked and which labels are allowed (:class:`kit.benchmarks.Judged`). ``verdicts`` reads labels
off replies and counts, ``local`` asks the engine, ``server`` and the files beside it ask a server.
"""
