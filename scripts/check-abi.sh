#!/bin/sh
# Compares what the library exports with lib/libbnnep.map, and its interface, as abigail-tools see it on x86_64, with the
# baseline tests/api/libbnnep.abi. New functions pass. Anything else fails: if it is meant, CHANGELOG.md tells it and
#     check-abi.sh --update
# makes the baseline anew (a change that breaks programs raises BNNEP_SOVERSION too).
set -eu
cd "$(dirname "$0")/.."
baseline=tests/api/libbnnep.abi
build=build/abi
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="-ffile-prefix-map=$PWD=." \
    -DBNNEP_BUILD_EXAMPLES=OFF -DBNNEP_BUILD_TESTS=OFF -DBNNEP_CUDA=OFF >/dev/null
cmake --build "$build" --target bnnep >/dev/null

nm -D --defined-only "$build/libbnnep.so" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort >"$build/exports"
sed -n 's/^    \(bnnep_[a-z_0-9]*\);$/\1/p' lib/libbnnep.map | sort >"$build/map"
diff "$build/map" "$build/exports" || {
    echo "The library does not export what lib/libbnnep.map lists" >&2
    exit 1
}
echo "exports: $(wc -l <"$build/exports") functions, all of lib/libbnnep.map and nothing else"

[ "${1:-}" = --update ] && made=$baseline || made=$build/libbnnep.abi
abidw --exported-interfaces-only --headers-dir include/bnnep --drop-private-types --no-show-locs --no-comp-dir-path \
    --no-corpus-path --out-file "$made" "$build/libbnnep.so"
abidiff --no-added-syms "$baseline" "$made" || {
    echo "The interface differs from $baseline" >&2
    exit 1
}
echo "interface: as in $baseline"
