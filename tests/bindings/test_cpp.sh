#!/bin/sh
# Compiles the C++ header's test and its quickstart, without a warning, and runs both.
#     test_cpp.sh CXX LIBRARY SAMPLE_FOLDER [FLAG...]
set -eu
cxx=$1
folder=$(cd "$(dirname "$2")" && pwd)
sample=$(cd "$3" && pwd)
shift 3
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for source in tests/bindings/test_cpp.cpp bindings/cpp/quickstart.cpp; do
    "$cxx" -std=c++17 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror "$@" -Iinclude -Ibindings/cpp "$source" \
        -o "$work/$(basename "$source" .cpp)" -L"$folder" -lbnnep
done
"$work/test_cpp" "$sample"
"$work/quickstart" "$sample" 100 1 "$work/network.safetensors" 2>"$work/said"
if [ -s "$work/said" ]; then
    echo "FAILED: it draws progress where no terminal is"
    exit 1
fi
test -s "$work/network.safetensors"
if "$work/quickstart" /nowhere 2>"$work/refused"; then
    echo "FAILED: a folder that is not there was taken"
    exit 1
fi
grep -q /nowhere "$work/refused"
