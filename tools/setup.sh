#!/bin/sh
# Prepares this working copy: system packages that are missing, and .venv with the project in it.
#
#   tools/setup.sh          what `ai-vcs` needs to run
#   tools/setup.sh dev      and the checks and pytest
#   tools/setup.sh tests    and the programs that the tests drive (vim, rsync, npm ...): never fatal
#
# Quick when nothing is missing.  Says what it does.  Where it may not install, it prints the exact line to run.
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# "" as root, "sudo -n" where that works without a password, else "no".
root_command() {
    if [ "$(id -u)" = 0 ]; then echo ""
    elif have sudo && sudo -n true 2>/dev/null; then echo "sudo -n"
    else echo no; fi
}

# install PACKAGES...: 0 when they are installed now.
install() {
    as_root=$(root_command)
    if ! have apt-get; then
        say "this system has no apt-get; install with its own package manager what Debian calls: $*"
        return 1
    fi
    if [ "$as_root" = no ]; then
        say "missing packages, and no root here to install them. Run:"
        say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        return 1
    fi
    say "installing $*"
    log=$(mktemp)
    if { $as_root env DEBIAN_FRONTEND=noninteractive apt-get update &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        tail -n 15 "$log" >&2
        rm -f "$log"
        say "that failed (above). To try again:  apt-get update && apt-get install -y --no-install-recommends $*"
        return 1
    fi
}

# The newest Python from 3.11 to 3.13 that can make a virtual environment and compile extensions; a
# newer one may lack what we depend on.
usable='import sys, sysconfig, os, venv, ensurepip
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)
         and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))'
find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 /usr/bin/python3}; do
        if "$candidate" -c "$usable" >/dev/null 2>&1; then echo "$candidate"; return 0; fi
    done
    return 1
}

system_packages() {
    missing=""
    have git || missing="$missing git"
    have fusermount3 || missing="$missing fuse3"
    have cc || have gcc || missing="$missing gcc libc6-dev"
    have pkg-config || missing="$missing pkg-config"
    { have pkg-config && pkg-config --exists fuse3 2>/dev/null; } || missing="$missing libfuse3-dev"
    find_python >/dev/null || missing="$missing python3 python3-dev python3-venv"
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || install $missing
}

# What the environment was made from; the same answer means there is nothing to do.
fingerprint() { { echo "$1 $(pwd)"; cat pyproject.toml tools/setup.sh; } | cksum; }

environment() { # environment LEVEL EXTRAS
    stamp=$venv/.anvcs-$1
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint "$1")" ] &&
        "$venv/bin/python" -c '' 2>/dev/null; then return 0; fi
    system_packages || return 1
    if ! "$venv/bin/python" -c '' 2>/dev/null; then
        python=$(find_python) || { say "no Python 3.11 to 3.13 with venv and headers"; return 1; }
        say "creating $venv with $($python --version 2>&1)"
        "$python" -m venv --clear "$venv"
    fi
    say "installing the project into $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".$2" </dev/null
    fingerprint "$1" >"$stamp"
}

# As root, put the commands where `mount -t fuse.anvcsfs` (which runs with a bare PATH) finds them.
link_commands() {
    [ "$(id -u)" = 0 ] || return 0
    for name in ai-vcs anvcsfs; do
        target=$(pwd)/$venv/bin/$name
        [ -e "$target" ] || continue
        # One that is there stays, unless it is a link to a copy of this project that is gone.
        case $(readlink "/usr/local/bin/$name" || true) in
            */bin/"$name") [ -e "/usr/local/bin/$name" ] || rm -f "/usr/local/bin/$name" ;;
        esac
        if [ ! -e "/usr/local/bin/$name" ] && [ ! -L "/usr/local/bin/$name" ] && [ -w /usr/local/bin ]; then
            ln -s "$target" "/usr/local/bin/$name"
            say "linked /usr/local/bin/$name -> $target"
        fi
    done
}

test_programs() {
    missing=""
    for pair in vim:vim rsync:rsync rg:ripgrep sqlite3:sqlite3 zsh:zsh node:nodejs npm:npm patch:patch make:make strace:strace; do
        have "${pair%%:*}" || missing="$missing ${pair#*:}"
    done
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || install $missing || say "tests that need$missing will be reported as skipped"
}

case $level in
    run) environment run "" ;;
    dev) environment dev "[dev]" ;;
    tests) environment dev "[dev]"; test_programs ;;
    *) say "unknown level: $level"; exit 2 ;;
esac
link_commands
[ -e /dev/fuse ] || say "/dev/fuse is missing: nothing can be mounted here, and tests that mount are skipped (load the fuse module, or give the container --device /dev/fuse --cap-add SYS_ADMIN)"
