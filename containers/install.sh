#!/bin/sh
# What is in the image?  The one answer of both recipes: Debian's Python and compiler, and /opt/hpcfit/venv, which holds
# the extra `container` of setup.cfg with the exact versions of envs/constraints.txt.
#
#   containers/install.sh            in the image, as root, with the checkout in /opt/hpcfit
#
# HPCFIT_ROOT, HPCFIT_EXTRA: another place or extra.  A base image that has python3, venv, g++ and make needs no apt.
set -eu
root=${HPCFIT_ROOT:-/opt/hpcfit}
extra=${HPCFIT_EXTRA:-container}

lacks=
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || lacks="python3 python3-venv"
command -v c++ >/dev/null || lacks="$lacks g++"
command -v make >/dev/null || lacks="$lacks make"
if [ -n "$lacks" ]; then
    command -v apt-get >/dev/null ||
        { echo "install.sh: this base image lacks $lacks, and has no apt-get to get them with" >&2; exit 2; }
    apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $lacks
    rm -rf /var/lib/apt/lists/*
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "install.sh: $(python3 -V) is too old, hpcfit needs 3.11; take a newer base image" >&2; exit 2; }

# In the image nobody edits: the package is copied into the environment, and its files are compiled to bytecode once.
cd -- "$root"
python3 -m venv "$root/venv"
venv_pip() { "$root/venv/bin/python" -m pip install --no-input --no-cache-dir -c envs/constraints.txt "$@"; }
venv_pip setuptools
venv_pip --no-build-isolation ".[$extra]"
rm -rf build ./*.egg-info
"$root/venv/bin/python" -m compileall -q -j 0 "$root/venv/lib" || :    # some packages ship files of other Pythons
"$root/venv/bin/hpcfit" --help >/dev/null
