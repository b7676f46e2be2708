#!/bin/sh
# Installs Debian's Chromium where that can be done; else says so, and the tests skip themselves.
set -e
packages="chromium fonts-dejavu-core"
if ! command -v apt-get >/dev/null; then
    echo "no Chromium, and no apt-get to install it: the tests of the page will be skipped" >&2
elif [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends $packages ||
        echo "Chromium could not be installed: the tests of the page will be skipped" >&2
elif sudo -n true 2>/dev/null; then
    sudo sh "$0"
else
    echo "no Chromium, and no right to install it (apt-get install chromium): the tests skip" >&2
fi
