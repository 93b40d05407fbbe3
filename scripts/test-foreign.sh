#!/bin/sh
# Cross-builds for another processor and runs there, under qemu-user, what tests the kernels and the backends; on 32 bits
# also exchanges files with a 64-bit build.
#     test-foreign.sh aarch64|i386|armhf [TEST...]      default: the tests with the label machine
# Installs the compiler and qemu if they are missing. The libraries' packages are unpacked to build/root-ARCHITECTURE: what
# is installed on this machine, and which architectures it takes packages of, stays as it is.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
name=${1:-}
shift || true
more=
case $name in
aarch64) architecture=arm64 compiler=$aarch64_packages ;;
i386) architecture=i386 compiler=$i386_packages more=libquadmath0 ;;
armhf) architecture=armhf compiler=$armhf_packages ;;
*)
    echo "test-foreign.sh aarch64|i386|armhf [TEST...]" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086
sh scripts/install-packages.sh $foreign_packages $compiler

# apt for the other architecture, with lists of its own
foreign_apt() {
    apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}

root=$PWD/build/root-$name
if [ ! -e "$root/complete" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    rm -rf "$root"
    mkdir -p "$root" "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
    # one index of several may be out of step; what is missing shows below
    foreign_apt update || true
    # shellcheck disable=SC2086
    (cd "$work/packages" && foreign_apt download $foreign_libraries $more)
    for package in "$work"/packages/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    touch "$root/complete"
fi

cmake --preset "$name" >/dev/null
cmake --build --preset "$name"
if [ "$name" = aarch64 ]; then
    ran=$(qemu-aarch64-static -L "$root" build/aarch64/tests/test_kernels 2>/dev/null)
    echo "$ran" | grep -qx neon || {
        echo "The NEON kernels did not run" >&2
        exit 1
    }
fi
if [ $# -gt 0 ]; then
    ctest --preset "$name" -j "$(nproc)" -R "^($(echo "$*" | tr ' ' '|'))\$"
else
    ctest --preset "$name" -j "$(nproc)" -L machine
fi
