"""Users' own files: seeds, pairs, completions of other tools, and downloads."""
