#!/bin/sh
# test_patch.sh SOURCE_FOLDER COMPILER PATCH TEST...: applies a patch to a copy of the sources, all lines around it as they
# are there, builds these tests with it and runs them. Without the program patch: exit status 77.
set -eu
source=$1 compiler=$2 patch=$3
shift 3
command -v patch >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for part in CMakeLists.txt backends cmake docs examples include lib programs tests; do
    cp -R "$source/$part" "$work/"
done
patch -d "$work" -p1 -F0 <"$patch"
cmake -S "$work" -B "$work/build" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release -DBNNEP_WERROR=ON \
    -DBNNEP_CUDA=OFF -DBNNEP_BUILD_SHARED=OFF -DBNNEP_BUILD_EXAMPLES=OFF -DBNNEP_INSTALL=OFF >/dev/null
targets=
for name; do
    targets="$targets test_$name"
done
# shellcheck disable=SC2086
cmake --build "$work/build" --parallel 2 --target $targets >"$work/built" || { cat "$work/built" && exit 1; }
for name; do
    "$work/build/tests/test_$name"
done
