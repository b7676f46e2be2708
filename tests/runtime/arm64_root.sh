#!/bin/sh
# Makes FOLDER, in which qemu-aarch64 finds Debian's Python for 64-bit ARM and what the extra
# `runtime` installs. Nothing of it is installed in this system.
set -eu
root=${1:?usage: arm64_root.sh FOLDER}
python=${PYTHON:-python3}

command -v debootstrap >/dev/null || { echo "needs debootstrap and dpkg-deb of Debian" >&2; exit 1; }
debootstrap --download-only --arch=arm64 --variant=minbase --include=python3 bookworm "$root"
for package in "$root"/var/cache/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$root"
done
"$python" -m pip install --quiet --target "$root/site" --only-binary :all: \
    --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 --constraint constraints.txt numpy pillow ai-edge-litert
