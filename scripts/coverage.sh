#!/bin/sh
# Runs the quick tests on a build that counts, and prints which share of the library's lines and branches they reach, of
# lib/ and of each backend; the report, line by line, is build/coverage/report/index.html, and a list of the lines with
# branches that nothing takes is build/coverage/branches.txt.
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
# What a failed assertion would do is no branch.
gcovr --root . --filter lib/ --filter backends/ --exclude-throw-branches --exclude-branches-by-pattern '\s*assert\(.*' \
    --html-details "$build/report/index.html" --json "$build/branches.json" --print-summary "$build" >"$build/summary"
sed -n 's/^\(lines\|branches\): */coverage: \1 /p' "$build/summary"
python3 - "$build/branches.json" "$build/branches.txt" <<'END'
import collections, json, sys

found, missed = collections.Counter(), collections.Counter()
with open(sys.argv[2], "w") as listed:
    for file in json.load(open(sys.argv[1]))["files"]:
        name = file["file"]
        part = name.split("/")[0] if name.startswith("lib/") else "/".join(name.split("/")[:2])
        lines = open(name).read().splitlines()
        for line in file["lines"]:
            counts = [branch["count"] for branch in line["branches"]]
            found[part] += len(counts)
            missed[part] += counts.count(0)
            if 0 in counts:
                text = lines[line["line_number"] - 1].strip()
                print(f"{name}:{line['line_number']}: {counts.count(0)} of {len(counts)}: {text}", file=listed)
for part in found:
    print(f"coverage: branches of {part}: {100 - 100 * missed[part] / found[part]:.1f} % of {found[part]}")
END
