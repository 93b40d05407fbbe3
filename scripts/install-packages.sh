#!/bin/sh
# Installs what is missing of the given Debian packages, and says so if it cannot.
#     install-packages.sh PACKAGE...
set -eu

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "These Debian packages are missing, and only root can install them:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of words
{
    $as_root apt-get update &&
        $as_root apt-get install -y --no-install-recommends $missing
} >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    echo "The packages could not be installed:$missing" >&2
    exit 1
}
