"""Runs of plans: the order of jobs, a process or container for each worker, and its output's way into the store."""
