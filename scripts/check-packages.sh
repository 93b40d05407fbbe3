#!/bin/sh
# Builds the Debian packages and looks at what they hold and depend on:
#     check-packages.sh [FOLDER]
# With FOLDER, a bare Debian 12 (made by debootstrap if it is not there; root, network), also installs them there, builds
# and runs the programs of tests/api/consumer, trains on the sample, and uninstalls them without a trace.
set -eu
cd "$(dirname "$0")/.."
root=${1:-}
build=build/deb
packages="libbnnep0 libbnnep-dev bnnep-tools"
fail() {
    echo "check-packages.sh: $*" >&2
    exit 1
}

cmake --preset deb >/dev/null
cmake --build --preset deb >/dev/null
rm -rf "$build"/*.deb
(cd "$build" && umask 022 && cpack >cpack.log 2>&1) || {
    tail -n 30 "$build/cpack.log"
    exit 1
}

# depends PACKAGE PATTERN, holds PACKAGE PATTERN
depends() {
    dpkg-deb -f "$build/$1"_*.deb Depends | grep -E "$2" >/dev/null || fail "$1 does not depend on $2"
}
holds() {
    dpkg-deb -c "$build/$1"_*.deb | grep -E " \./usr/$2( ->.*)?$" >/dev/null || fail "$1 does not hold $2"
}
for package in $packages; do
    holds "$package" "share/doc/$package/copyright"
    holds "$package" "share/doc/$package/changelog.gz"
    dpkg-deb -c "$build/$package"_*.deb | grep -vE '^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root/root' &&
        fail "$package: odd owners or permissions"
done
depends libbnnep0 'libopenblas0'
depends libbnnep0 'libjansson4'
depends libbnnep0 'zlib1g'
depends libbnnep0 'libc6'
depends libbnnep-dev 'libbnnep0 \(= [0-9.]+\)'
depends bnnep-tools 'libbnnep0 \(= [0-9.]+\)'
depends bnnep-tools 'libc6'
holds libbnnep0 'lib/[^/]*/libbnnep.so.[0-9.]*'
holds libbnnep-dev 'lib/[^/]*/libbnnep.so'
holds libbnnep-dev 'include/bnnep/bnnep.h'
holds libbnnep-dev 'share/doc/libbnnep-dev/examples/cpp/bnnep.hpp'
holds libbnnep-dev 'share/doc/libbnnep-dev/examples/python/bnnep/__init__.py'
holds bnnep-tools 'bin/bnnep-train'
holds bnnep-tools "share/man/man1/bnnep-train.1.gz"
if command -v lintian >/dev/null; then
    # the project has no address yet
    lintian --allow-root --fail-on error --suppress-tags bogus-mail-host "$build"/*.deb
fi
echo "packages: $(cd "$build" && echo *.deb)"
[ -n "$root" ] || exit 0

[ -d "$root/usr" ] || debootstrap --variant=minbase bookworm "$root"
rm -rf "$root/root/bnnep-packages"
mkdir "$root/root/bnnep-packages"
cp -r "$build"/*.deb tests/api/consumer "$root/root/bnnep-packages"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
cat >"$root/root/bnnep-packages/try" <<'TRY'
set -eux
export DEBIAN_FRONTEND=noninteractive
cd /root/bnnep-packages
apt-get autopurge -qy 'libbnnep*' bnnep-tools || true # of a trial that failed
apt-get update -q
apt-get install -qy --no-install-recommends ./bnnep-tools_*.deb ./libbnnep0_*.deb
bnnep-quickstart
bnnep-train --preset mnist-fc1 --layersList 784 20 10 --epochs 1 --train-limit 1000 --test-limit 500 --no-save
apt-get install -qy --no-install-recommends ./libbnnep-dev_*.deb gcc g++ libc6-dev cmake make pkg-config
cc consumer/main.c -o by_pkg $(pkg-config --cflags --libs bnnep)
./by_pkg
c++ -std=c++17 /usr/share/doc/libbnnep-dev/examples/cpp/quickstart.cpp -o by_cpp $(pkg-config --cflags --libs bnnep)
./by_cpp /usr/share/bnnep/data/mnist-sample 20 1
cmake -S consumer -B by_cmake
cmake --build by_cmake
for program in by_cmake/consumer_c by_cmake/consumer_cxx by_cmake/consumer_static; do "$program"; done
apt-get autopurge -qy libbnnep0 libbnnep-dev bnnep-tools # with what they brought along, so that the next trial misses it
! find /usr /etc /var/lib -name '*bnnep*' | grep .
TRY
chroot "$root" sh /root/bnnep-packages/try >"$build/trial.log" 2>&1 || {
    tail -n 40 "$build/trial.log"
    fail "the trial in $root failed"
}
echo "packages: installed, used and removed in $root"
