#!/bin/sh
# Runs the quick tests on a build that counts, and prints which share of the library's lines and branches they reach; the
# report, line by line, is build/coverage/report/index.html.
set -eu
cd "$(dirname "$0")/.."
build=build/coverage
cmake --preset coverage >/dev/null
cmake --build --preset coverage >/dev/null
find "$build" -name '*.gcda' -delete
# The number is to tell what the library's own tests reach, soon: of the slow ones only those that nothing else stands for,
# none in other languages.
for labels in "-LE slow|bindings" "-L slow -L machine|threads"; do
    # shellcheck disable=SC2086
    ctest --test-dir "$build" -j "$(nproc)" $labels --output-on-failure >"$build/tests.log" || {
        tail -n 40 "$build/tests.log"
        exit 1
    }
done
mkdir -p "$build/report"
gcovr --root . --filter lib/ --filter backends/ --exclude-throw-branches --html-details "$build/report/index.html" \
    --print-summary "$build" >"$build/summary"
sed -n 's/^\(lines\|branches\): */coverage: \1 /p' "$build/summary"
