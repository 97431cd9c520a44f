#!/bin/sh
# Makes the virtual environment named by the first argument, with the quickest Python that will do: one that was compiled
# without optimisation, as pyenv does by default, takes a third more CPU time for the same work.
set -eu

venv=$1
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11}

# Prints how many microseconds of CPU time some calls take, at best; fails where this Python will not do.
measure='
import ensurepip, sys, time, venv
if sys.version_info < (3, 11):
    sys.exit(1)

class Counter:
    def __init__(self):
        self.sums = {}
    def add(self, number):
        self.sums[number % 100] = self.last(number) + number
    def last(self, number):
        return self.sums.get(number % 100, 0)

def work():
    began, counter = time.process_time(), Counter()
    for number in range(20_000):
        counter.add(number)
    return time.process_time() - began

print(round(min(work() for _ in range(9)) * 1e6))'

found= quickest=
for python in $candidates; do
    took=$("$python" -c "$measure" 2>/dev/null) || continue
    if [ -z "$found" ] || [ "$took" -lt "$quickest" ]; then
        found=$python quickest=$took
    fi
done
if [ -z "$found" ]; then
    echo "tailrace needs Python 3.11 or newer that can make virtual environments; looked for: $candidates." >&2
    echo "Install one (on Debian and Ubuntu: apt-get install python3-venv), or name it: make PYTHON=/path/to/python3 ..." >&2
    exit 1
fi

# Half an environment would pass for a whole one the next time.
trap 'rm -rf "$venv"' INT TERM HUP
echo "Making $venv with $("$found" --version) ($("$found" -c 'import sys; print(sys.executable)'))"
"$found" -m venv --clear "$venv" || { rm -rf "$venv"; exit 1; }
