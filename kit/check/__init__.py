"""Answers about results and machines: do numbers agree, is everything there, are pins still true."""
