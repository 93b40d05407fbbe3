#!/bin/sh
# The public headers, each alone: as C11 and C++17 without a warning; every function in it is in the version script, and nothing
# else is.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -Iinclude -fsyntax-only"
for header in include/bnnep/*.h; do
    printf '#include "%s"\n#include "%s"\nextern int a_unit;\n' "$header" "$header" >"$work/header.c"
    cp "$work/header.c" "$work/header.cpp"
    # shellcheck disable=SC2086
    {
        cc -std=c11 -Wstrict-prototypes $flags -I. "$work/header.c"
        c++ -std=c++17 $flags -I. "$work/header.cpp"
    }
done
cat include/bnnep/*.h | tr '\n' ' ' | grep -oE 'BNNEP_API [^;(]*\(' | grep -oE 'bnnep_[a-z_0-9]+\(' | tr -d '(' | sort >"$work/declared"
sed -n 's/^    \(bnnep_[a-z_0-9]*\);$/\1/p' lib/libbnnep.map | sort >"$work/exported"
diff "$work/declared" "$work/exported"
echo "header: $(wc -l <"$work/declared") functions, declared and exported alike"
