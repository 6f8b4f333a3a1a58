def double(x):
    """Return x times two."""
    return x + 2
