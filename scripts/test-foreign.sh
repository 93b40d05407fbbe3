#!/bin/sh
# Cross-builds for another processor and runs there, under qemu-user (i386 without it where the kernel can), what tests
# the kernels and the backends, and on i386 all of the library's core. Then exchanges files with the build of preset dev,
# both ways.
#     test-foreign.sh aarch64|i386|armhf [TEST...]      with names: these tests, and no more
# Needs build/dev for the exchange. Installs the compiler and qemu if they are missing. The libraries' packages are
# unpacked to build/root-NAME: what is installed on this machine, and which architectures it takes packages of, stays as
# it is.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
name=${1:-}
shift || true
more='' labels=machine
# under qemu these two take minutes; their sources are the same everywhere, but for kernels, which have a test of their own
without='waiting|lanes'
case $name in
aarch64) architecture=arm64 compiler=$aarch64_packages qemu=qemu-aarch64-static ;;
i386) architecture=i386 compiler=$i386_packages qemu=qemu-i386-static more=libquadmath0 labels='machine|fast' without='' ;;
armhf) architecture=armhf compiler=$armhf_packages qemu=qemu-arm-static labels='machine|words' ;;
*)
    echo "test-foreign.sh aarch64|i386|armhf [TEST...]" >&2
    exit 2
    ;;
esac
[ $# -gt 0 ] || [ -x build/dev/tests/test_exchange ] || {
    echo "No build/dev/tests/test_exchange to exchange files with: build preset dev" >&2
    exit 1
}
# shellcheck disable=SC2086
sh scripts/install-packages.sh $foreign_packages $compiler

# apt for the other architecture, with lists of its own
foreign_apt() {
    apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$PWD/build/root-$name
if [ ! -e "$root/complete" ]; then
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

# an x86-64 kernel may run programs of 32 bits as they are, many times faster
libraries=$root/usr/lib/i386-linux-gnu
native="$root/lib/ld-linux.so.2 --library-path $root/lib/i386-linux-gnu:$libraries:$libraries/openblas-pthread"
runner="$qemu -L $root"
if [ "$name" = i386 ] && "$root/lib/ld-linux.so.2" --version >/dev/null 2>&1; then
    runner=$native
fi

cmake --preset "$name" "-DCMAKE_CROSSCOMPILING_EMULATOR=$(echo "$runner" | tr ' ' ';')" >/dev/null
cmake --build --preset "$name"

# foreign PROGRAM [ARGUMENT...]: one of the tests' programs
foreign() {
    program=build/$name/tests/$1
    shift
    # shellcheck disable=SC2086
    $runner "$program" "$@"
}

if [ "$name" = aarch64 ]; then
    ran=$(foreign test_kernels 2>/dev/null)
    echo "$ran" | grep -qx neon || {
        echo "The NEON kernels did not run" >&2
        exit 1
    }
fi
if [ $# -gt 0 ]; then
    ctest --preset "$name" -j "$(nproc)" -R "^($(echo "$*" | tr ' ' '|'))\$"
    exit
fi
# on 32 bits all kernels are generic
ctest --preset "$name" -j "$(nproc)" -L "$labels" -E "_generic\$|^($without)\$"

mkdir "$work/ours" "$work/theirs"
build/dev/tests/test_exchange write "$work/ours"
foreign test_exchange read "$work/ours"
foreign test_exchange write "$work/theirs"
build/dev/tests/test_exchange read "$work/theirs"
