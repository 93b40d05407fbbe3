#!/bin/sh
# Installs what the tests need, builds with sanitizers and runs what takes minutes: everything but the slow tests under
# AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, and those with threads under ThreadSanitizer as well.
#     test.sh           the slow tests are run by .ci/run
#     test.sh slow      and those of the library alone by this (slow ones of programs run in release)
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

which='-LE slow'
case "${1:-}" in
'') ;;
slow) which='-L slow -LE programs' ;;
*)
    echo "usage: test.sh [slow]" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086
sh scripts/install-packages.sh $test_packages
jobs=$(nproc)
for preset in asan-ubsan tsan; do
    echo "--- $preset"
    cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset"
done
sanitized() {
    echo "--- tests, asan-ubsan"
    # (these with generic kernels take minutes and are the same sources for other vectors: they run in release)
    # shellcheck disable=SC2086
    ctest --preset asan-ubsan -j "$jobs" $which -E '^(convolutions|covariance|consolidation|deviations|lanes)_generic$'
}
threads() {
    echo "--- tests with threads, tsan"
    # shellcheck disable=SC2086
    ctest --preset tsan -j "$jobs" -L threads $which
}
case $which in
-LE*)
    sanitized
    threads
    ;;
*) # few and long: side by side
    threads >build/tsan/slow.log 2>&1 &
    others=$!
    failed=0
    sanitized || failed=1
    wait $others || failed=1
    cat build/tsan/slow.log
    exit $failed
    ;;
esac
