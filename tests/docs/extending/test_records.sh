#!/bin/sh
# test_records.sh PROGRAM: a file of red, green and blue pictures is learnt; one that ends in the midst of a record, or has
# a label that does not exist, is refused.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -c 1024 /dev/zero >"$work/dark"
tr '\0' '\377' <"$work/dark" >"$work/bright"

picture() { # COARSE FINE (octal) RED GREEN BLUE
    printf '%b%b' "\\0$1" "\\0$2"
    cat "$work/$3" "$work/$4" "$work/$5"
}
{
    picture 00 00 bright dark dark
    picture 00 01 dark bright dark
    picture 01 143 dark dark bright
} >"$work/three"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    cat "$work/three"
done >"$work/good"
"$1" "$work/good" | tee "$work/said"
grep -qx 'errors=0 of 48' "$work/said"

{ cat "$work/good" && printf x; } >"$work/long"
! "$1" "$work/long" || exit 1
{ cat "$work/good" && picture 00 144 dark dark dark; } >"$work/label"
! "$1" "$work/label" || exit 1
