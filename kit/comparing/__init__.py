"""Comparing numbers of runs: quantiles, intervals, exact tests, families of tests, tests that may stop early, verdicts.

Each formula stands here once, with its source; nothing is rendered, and nothing is read from manifests or stores. All
numbers of one call are in one unit, whichever that is. docs/statistics.md says which of them answers which question.
"""
