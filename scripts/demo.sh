#!/bin/sh
# From nothing to a trained network: installs what is missing, builds, trains the paper's smallest network for five
# epochs on the sample of MNIST, and shows some digits with what it takes them for.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

# shellcheck disable=SC2086
sh scripts/install-packages.sh $build_packages
echo "Building"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ cmake --preset release && cmake --build --preset release; } >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    exit 1
}
echo "Training a network of 784-4096-10 on 5000 digits"
build/release/examples/bnnep-quickstart
echo "Next: build/release/programs/bnnep-train --list-presets"
