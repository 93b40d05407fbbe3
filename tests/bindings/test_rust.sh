#!/bin/sh
# Compiles and runs the Rust binding's tests and its quickstart.
#     test_rust.sh RUSTC LIBRARY SAMPLE_FOLDER
set -eu
rustc=$1
folder=$(cd "$(dirname "$2")" && pwd)
BNNEP_SAMPLE=$(cd "$3" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
BNNEP_LAYOUT=$work/layout
python3 header.py ../../include >"$BNNEP_LAYOUT"
export BNNEP_SAMPLE BNNEP_LAYOUT
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$rustc" --edition 2021 -L "$folder" --test test_rust.rs -o "$work/test"
"$rustc" --edition 2021 -O -L "$folder" ../../bindings/rust/quickstart.rs -o "$work/quickstart"
"$work/test"
"$work/quickstart" "$BNNEP_SAMPLE" 100 1 2>"$work/said"
if [ -s "$work/said" ]; then
    echo "FAILED: it draws progress where no terminal is"
    exit 1
fi
if "$work/quickstart" /nowhere 2>"$work/refused"; then
    echo "FAILED: a folder that is not there was taken"
    exit 1
fi
grep -q /nowhere "$work/refused"
