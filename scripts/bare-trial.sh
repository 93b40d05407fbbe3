#!/bin/sh
# Tries the two commands of README as a new user would, in an empty Debian 12 made by debootstrap (root, network):
#     bare-trial.sh FOLDER [COMMAND]      default: sh scripts/demo.sh && sh scripts/test.sh
# FOLDER is made if it is not there, and kept.
set -eu
root=$1
command=${2:-sh scripts/demo.sh && sh scripts/test.sh}
cd "$(dirname "$0")/.."
[ -d "$root/usr" ] || debootstrap --variant=minbase bookworm "$root"
rm -rf "$root/root/bnnep"
git clone -q . "$root/root/bnnep"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
chroot "$root" /bin/sh -c "cd /root/bnnep && $command"
