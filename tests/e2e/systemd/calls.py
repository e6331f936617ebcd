"""Holds the system calls that strace saw to the SystemCallFilter of a unit: `calls.py UNIT TRACE`."""

import re
import subprocess
import sys


def members(name):
    """The calls that a name in the filter stands for: those of a set of systemd's and of the sets in it, or the call itself."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    found = set()
    for word in words:
        if word.startswith("@"):
            found |= members(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


unit, trace = sys.argv[1:]
allowed = set()
for line in open(unit):
    if line.startswith("SystemCallFilter="):
        value = line.strip().removeprefix("SystemCallFilter=")
        sets = set().union(*(members(name) for name in value.lstrip("~").split()))
        allowed = allowed - sets if value.startswith("~") else allowed | sets
assert len(allowed) > 100, "the unit's filter was not read"
made = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z_0-9]+)[( ]", open(trace).read(), re.MULTILINE))
assert "sendmsg" in made and "execve" in made, "the trace was not read"
refused = sorted(made - allowed)
if refused:
    sys.exit(f"refused by the unit's SystemCallFilter: {' '.join(refused)}")
print(f"{len(made)} system calls, all of them allowed")
