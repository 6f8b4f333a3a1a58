"""This machine: its memory limits, installed packages, system libraries and ranks."""
