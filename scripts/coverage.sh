#!/bin/sh
# Runs the quick tests on a build that counts, and prints which share of the library's lines and branches they reach; the
# report, line by line, is build/coverage/report/index.html.
set -eu
cd "$(dirname "$0")/.."
build=build/coverage
cmake --preset coverage >/dev/null
cmake --build --preset coverage >/dev/null
find "$build" -name '*.gcda' -delete
# The number is to tell what the library's own tests reach, soon: left out are those that take minutes on such a build, and
# those of other languages.
ctest --test-dir "$build" -j "$(nproc)" -L 'fast|programs|threads|machine' -LE 'bindings|presets' \
    -E '^(resume|export|cortex_m4|quickstart|plot_run|convert_checkpoint)$' --output-on-failure >"$build/tests.log" || {
    tail -n 40 "$build/tests.log"
    exit 1
}
mkdir -p "$build/report"
gcovr --root . --filter lib/ --filter backends/ --exclude-throw-branches --html-details "$build/report/index.html" \
    --print-summary "$build" >"$build/summary"
sed -n 's/^\(lines\|branches\): */coverage: \1 /p' "$build/summary"
