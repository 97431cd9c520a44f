#!/bin/sh
# Installs the programs that the tests need and this machine lacks; where it may not, it names their packages.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=

# want PACKAGE PROGRAM...: the package is missing unless one of the programs is there.
want() {
    package=$1
    shift
    for program; do
        command -v "$program" >/dev/null 2>&1 && return
    done
    missing="$missing $package"
}

# Debian keeps a server's programs out of PATH, one folder for each version.
has_postgres() {
    command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1
}

want redis-server redis-server valkey-server
has_postgres || missing="$missing postgresql"
want nginx nginx
want chromium chromium chromium-browser google-chrome
want curl curl
want git git
want g++ c++

[ -n "$missing" ] || exit 0

refuse() {
    echo "The tests need what is not installed here:$missing" >&2
    echo "$1" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 ||
    refuse "There is no apt-get: install them with this system's own package manager (the names are Debian's)."
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    refuse "Neither root nor sudo without a password, so please run: sudo apt-get install$missing"
fi

echo "Installing$missing"
$as_root apt-get update -qq || refuse "apt-get update failed: see above."
# shellcheck disable=SC2086  # a list of words on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
    refuse "apt-get could not install them: see above."
