"""A run that is at work on a job until it is killed or told to go on: ``at_work.py STORE KEY``; for tests."""

import sys
import time
from pathlib import Path

from kit.run import recording
from kit.store import Store

recording.WRITE_S = 0.01
store = Store.open(Path(sys.argv[1]))
job = store.job(sys.argv[2])
before = set((store.root / "runs").glob("*.now.json"))
with recording.recorded([job.key], store, {"tables": ["table-2"], "scale": "smoke"}, lambda *_: None) as listen:
    listen("start", job, {})
    listen("progress", job, {"done": 3, "total": 9, "tokens": 0})
    while set((store.root / "runs").glob("*.now.json")) <= before:
        time.sleep(0.01)
    print("at work", flush=True)
    sys.stdin.readline()
