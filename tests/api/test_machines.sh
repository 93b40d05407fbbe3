#!/bin/sh
# A machine on which the library would come to other results, or misread files, is refused when it is compiled:
#     test_machines.sh SOURCE_FOLDER COMPILER
set -u
source=$1 compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# compiles FLAG...: what the compiler says goes to $work/said
compiles() {
    "$compiler" -std=c11 -fsyntax-only -I"$source" -I"$source/include" "$@" "$source/lib/error.c" >"$work/said" 2>&1
}
# refuses WORDS FLAG...
refuses() {
    words=$1
    shift
    if compiles "$@"; then
        echo "FAILED: compiles with $*"
        failed=1
    elif ! grep -q "error.*$words" "$work/said"; then
        echo "FAILED: with $* there is no word of: $words"
        cat "$work/said"
        failed=1
    fi
}

compiles || {
    echo "FAILED: does not compile as it is"
    cat "$work/said"
    exit 1
}
refuses 'little-endian' -Wno-builtin-macro-redefined -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
if "$compiler" -mfpmath=387 -fsyntax-only -x c /dev/null 2>"$work/said" && ! grep -q 387 "$work/said"; then
    refuses '-msse2 -mfpmath=sse' -mfpmath=387
else
    refuses '-msse2 -mfpmath=sse' -Wno-builtin-macro-redefined -D__FLT_EVAL_METHOD__=2
fi
exit $failed
