"""Differences between two runs, or two files: cells that moved, items that turned, and the first stage that differs.

``runs`` finds the gradings of a side, ``items`` reads their rows, ``cells`` compares them, ``stages`` walks the jobs
behind them, ``texts`` finds where two texts part, ``userfiles`` reads graded files and completions of other tools, and
``report`` puts it all together: its verdict, its lines and its JSON.
"""
