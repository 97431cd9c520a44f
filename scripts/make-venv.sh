#!/bin/sh
# Makes the virtual environment named by the first argument with the newest Python that will do.
set -eu

venv=$1
for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "tailrace needs Python 3.11 or newer; looked for ${PYTHON:-python3.13, python3.12, python3.11, python3}." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$found can't make virtual environments; on Debian and Ubuntu: apt-get install python$version-venv" >&2
    exit 1
fi

# Half an environment would pass for a whole one the next time.
trap 'rm -rf "$venv"' INT TERM HUP
echo "Making $venv with $("$found" --version)"
"$found" -m venv --clear "$venv" || { rm -rf "$venv"; exit 1; }
