"""Files and values from outside, opened and checked before anything is done with them."""
