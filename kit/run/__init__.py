"""Plans become artifacts: the order of jobs, one process or container for each worker, and what it hands over."""
