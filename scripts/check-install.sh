#!/bin/sh
# Installs the release build to a folder of its own and builds programs against it from outside the tree: C and C++, by
# pkg-config (shared and static) and by CMake; runs them and the installed bnnep-train on the installed sample. So does it
# with the example of a backend.
#     check-install.sh BUILD_FOLDER
set -eu
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
passed=0
check() {
    "$@" >"$work/log" 2>&1 || {
        echo "FAILED: $*"
        cat "$work/log"
        exit 1
    }
    passed=$((passed + 1))
}

cmake --install "$build" --prefix "$prefix" >/dev/null
cp -r "$source/tests/api/consumer" "$work/consumer"
cd "$work"
libdir=$(dirname "$(find "$prefix" -name libbnnep.so)")
unset BNNEP_DATA
pc() {
    PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config "$@" bnnep
}
flags="-Wall -Wextra -Wpedantic -Werror"
check test "$(pc --modversion)" = "$(cd "$source" && sed -n 's/^project(.*//p; s/^#define BNNEP_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' include/bnnep/version.h | paste -sd.)"
# shellcheck disable=SC2046,SC2086
{
    check cc -std=c11 $flags consumer/main.c -o by_pkg_c $(pc --cflags --libs)
    check c++ -std=c++17 $flags -x c++ consumer/main.c -o by_pkg_cxx $(pc --cflags --libs)
    check cc -std=c11 $flags consumer/main.c -o by_pkg_static $(pc --cflags) "$libdir/libbnnep.a" \
        $(pc --libs --static | sed 's/-lbnnep//')
}
check cmake -S consumer -B by_cmake -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
check cmake --build by_cmake
for program in by_pkg_c by_pkg_cxx by_pkg_static by_cmake/consumer_c by_cmake/consumer_cxx by_cmake/consumer_static; do
    check env LD_LIBRARY_PATH="$libdir" "./$program"
done
sample=$prefix/share/bnnep/data/mnist-sample
check test -f "$sample/train-images-idx3-ubyte.gz"
check "$prefix/bin/bnnep-train" --data "$sample" --preset mnist-fc1 --layersList 784 20 10 --epochs 1 --train-limit 5000 --test-limit 1000
check "$prefix/bin/bnnep-quickstart"
for program in "$prefix"/bin/*; do
    check test -f "$prefix/share/man/man1/$(basename "$program").1"
done
check test -f "$prefix/share/doc/bnnep/docs/guide.md"
# shellcheck disable=SC2046,SC2086
check cc -std=c11 $flags "$prefix/share/doc/bnnep/examples/quickstart.c" -o example $(pc --cflags --libs)
# shellcheck disable=SC2046,SC2086
check cc -std=c11 $flags "$prefix/share/doc/bnnep/examples/own_data.c" -o own_data $(pc --cflags --libs) -lm -pthread
# shellcheck disable=SC2046,SC2086
check c++ -std=c++17 $flags "$prefix/share/doc/bnnep/examples/cpp/quickstart.cpp" -o example_cpp $(pc --cflags --libs)
# a backend outside the tree, in the library's own tests of backends and in a program
check cmake -S "$prefix/share/doc/bnnep/examples/backend" -B loops -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
check cmake --build loops
for suite in conformance golden; do # the others ran in the build
    check env BNNEP_BACKEND_PATH="$work/loops" BNNEP_TEST_BACKEND=loops "$build/tests/test_$suite"
done
check env BNNEP_BACKEND_PATH="$work/loops" "$prefix/bin/bnnep-train" --backend loops --data "$sample" --preset mnist-fc1 \
    --layersList 784 20 10 --epochs 1 --train-limit 100 --test-limit 100
check sh -c "! nm --defined-only -g '$libdir/libbnnep.a' | grep ' [TDRBV] ' | grep -v ' bnnep_'"
check sh -c "! nm -D --defined-only '$libdir/libbnnep.so' | grep -v ' A ' | grep -v ' bnnep_'"
echo "install: $passed passed, 0 failed"
