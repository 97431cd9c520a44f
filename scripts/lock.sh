#!/bin/sh
# Writes the locks anew, in their order: each holds to the versions of those before it. They serve every Python and
# system that tailrace runs on, and name no host to download from. Arguments go to uv, such as --upgrade.
set -eu

cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

compile() {
    lock=requirements/$1.txt
    shift
    echo "Locking $lock"
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" --output-file "$lock" "$@"
}

compile run pyproject.toml --extra postgres --extra redis "$@"
compile build requirements/build.in --constraints requirements/run.txt "$@"
compile dev pyproject.toml --extra langchain --extra postgres --extra redis --extra stripe requirements/build.in requirements/dev.in \
    --constraints requirements/run.txt --constraints requirements/build.txt "$@"
compile llama-cpp requirements/llama-cpp.in --no-deps "$@"
compile llama-server requirements/llama-cpp.in --no-emit-package llama-cpp-python "$@"

for folder in src/tailrace/web/ui tests/js clients/js; do
    echo "Locking $folder/package-lock.json"
    (cd "$folder" && npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved \
        --no-audit --no-fund --loglevel=error)
done
