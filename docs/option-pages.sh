#!/bin/sh
# Brings what pages say of the programs' options up to date. In these pages, what stands between lines that hold
#     begin: COMMAND
#     end of COMMAND
# is what the command prints.
#     option-pages.sh BUILD_FOLDER           writes the pages
#     option-pages.sh --check BUILD_FOLDER   shows what it would change; fails if there is anything
set -eu
check=no
if [ "$1" = --check ]; then
    check=yes
    shift
fi
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
PATH="$build/programs:$build/examples:$PATH"
new=$(mktemp)
trap 'rm -f "$new"' EXIT
failed=0
for page in docs/options.md programs/man/bnnep-train.1; do
    awk '
        /^(<!--|\.\\") end of / { inside = 0 }
        !inside { print }
        /^(<!--|\.\\") begin: / {
            command = $0
            sub(/.* begin: /, "", command)
            sub(/ *-->$/, "", command)
            text = command ~ / --help$/ # which is no Markdown
            if (text) print "```"
            while ((command | getline line) > 0) print line
            if (close(command) != 0) exit 1
            if (text) print "```"
            inside = 1
        }' "$page" >"$new"
    if [ $check = no ]; then
        cmp -s "$new" "$page" || cat "$new" >"$page"
    elif ! diff -u "$page" "$new"; then
        failed=1
        echo "$page is not what the programs say; cmake --build BUILD_FOLDER --target option-pages writes it"
    fi
done
exit $failed
