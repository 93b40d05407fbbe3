#!/bin/sh
# The other ways to come to the library: into a project of one's own by FetchContent and by add_subdirectory, shared and
# static; static only, staged with DESTDIR, its prefix the one given at configure time, found by CMake and pkg-config.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
passed=0
check() {
    "$@" >"$work/log" 2>&1 || {
        echo "FAILED: $*"
        cat "$work/log"
        exit 1
    }
    passed=$((passed + 1))
}
build() {
    check cmake --build "$1" --parallel "$(nproc)"
}
# Whether a program needs libbnnep.so
needs() {
    readelf -d "$1" | grep -q 'NEEDED.*libbnnep'
}

# embedded: nothing of the library is installed with the parent, which keeps its own (empty) build type
check cmake -S "$source/tests/api/embedded" -B fetched -DBNNEP_SOURCE="$source"
check grep -q '^CMAKE_BUILD_TYPE:STRING=$' fetched/CMakeCache.txt
build fetched
check cmake -S "$source/tests/api/embedded" -B added -DBNNEP_SOURCE="$source" -DADD=ON -DBUILD_SHARED_LIBS=OFF
build added
check grep -q '^BNNEP_CUDA:STRING=OFF$' fetched/CMakeCache.txt # nobody asked for it
for program in fetched/consumer fetched/consumer_static added/consumer added/consumer_static; do
    check "./$program"
done
check needs fetched/consumer
for program in fetched/consumer_static added/consumer added/consumer_static; do
    check sh -c "! readelf -d $program | grep -q 'NEEDED.*libbnnep'"
done
check env DESTDIR="$work/parent" cmake --install fetched
check test "$(find parent -type f | wc -l)" = 2

# static only, staged
prefix=/opt/bnnep
check cmake -S "$source" -B static -DBNNEP_BUILD_SHARED=OFF -DBNNEP_BUILD_TESTS=OFF -DBNNEP_BUILD_BENCH=OFF -DBNNEP_CUDA=OFF \
    -DCMAKE_INSTALL_PREFIX=$prefix
build static
check env DESTDIR="$work/stage" cmake --install static
check test -z "$(find stage -name '*.so*')"
check test "$(ls stage)" = opt
check stage/opt/bnnep/bin/bnnep-train --preset mnist-fc1 --layersList 784 20 10 --epochs 1 --train-limit 500 \
    --test-limit 500 --no-save
libdir=$(dirname "$(find stage -name libbnnep.a)")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
# shellcheck disable=SC2046
check cc "$source/tests/api/consumer/main.c" -o by_pkg $(pkg-config --cflags --libs bnnep)
check ./by_pkg
check cmake -S "$source/tests/api/consumer" -B by_cmake -DCMAKE_PREFIX_PATH="$work/stage$prefix"
build by_cmake
for program in consumer_c consumer_cxx consumer_static; do
    check "by_cmake/$program"
done
echo "uses: $passed passed, 0 failed"
