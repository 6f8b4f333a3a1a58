def first(xs):
    """Return the first item of xs."""
    return xs[0]
