#!/bin/sh
# Installs what the tests need, builds with sanitizers and runs every test: all of them under AddressSanitizer,
# LeakSanitizer and UndefinedBehaviorSanitizer, those with threads under ThreadSanitizer as well.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

# shellcheck disable=SC2086
sh scripts/install-packages.sh $test_packages
jobs=$(nproc)
for preset in asan-ubsan tsan; do
    echo "--- $preset"
    cmake --preset "$preset" -DBNNEP_BUILD_TESTS=ON >/dev/null
    cmake --build --preset "$preset"
done
echo "--- tests, asan-ubsan"
ctest --preset asan-ubsan -j "$jobs"
echo "--- tests with threads, tsan"
ctest --preset tsan -j "$jobs" -L threads
