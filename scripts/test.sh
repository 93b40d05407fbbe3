#!/bin/sh
# Installs what the tests need, builds with sanitizers and runs what takes minutes: everything but the slow tests under
# AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, and those with threads under ThreadSanitizer as well.
#     test.sh           the slow tests are run by .ci/run
#     test.sh slow      and those alone by this
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

which=-LE
case "${1:-}" in
'') ;;
slow)
    which=-L
    # shellcheck disable=SC2086
    sh scripts/install-packages.sh $python_packages
    ;;
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
echo "--- tests, asan-ubsan"
# (convolutions_generic, three minutes of it, is the same sources for other vectors: it runs in release)
ctest --preset asan-ubsan -j "$jobs" "$which" slow -E '^convolutions_generic$'
echo "--- tests with threads, tsan"
ctest --preset tsan -j "$jobs" -L threads "$which" slow
