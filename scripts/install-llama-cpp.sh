#!/bin/sh
# Installs llama.cpp's server, a real upstream for the interop tests, into a cache folder outside the tree.
# It gets an environment of its own, since its dependencies would disturb ours.
set -eu

python=$1
locks=$(cd "$(dirname "$0")/../requirements" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tailrace
venv=$cache/llama-cpp
version=$(sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' "$locks/llama-cpp.txt")

stamp=$("$python" --version; cat "$locks/llama-cpp.txt" "$locks/llama-server.txt")
[ "$stamp" != "$(cat "$venv/stamp" 2>/dev/null)" ] || exit 0

pip="$python -m pip --disable-pip-version-check --quiet"
if ! ls "$cache/wheels/llama_cpp_python-$version-"*.whl >/dev/null 2>&1; then
    echo "Building llama-cpp-python $version, once: about 5 minutes on 2 cores"
    $pip wheel --no-deps --require-hashes --wheel-dir "$cache/wheels" --requirement "$locks/llama-cpp.txt"
fi

echo "Installing llama.cpp's server into $venv"
"$python" -m venv --clear "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet"
$pip install --require-hashes --requirement "$locks/llama-server.txt"
$pip install --no-deps "$cache/wheels/llama_cpp_python-$version-"*.whl
echo "$stamp" >"$venv/stamp"
