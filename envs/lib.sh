# shellcheck shell=sh
# How does a wrapper in this folder make its environment and run a command in it?  Read by local, cori and perlmutter.
#
# The wrapper sets, then calls `enter "$@"`:
#   extra      which extra of setup.cfg goes in                       (local)
#   link       the environment, unless HPCFIT_ENV says otherwise      ($root/.venv)
#   modules    what `module load` is given first                      (none)
#   mpicc      builds mpi4py from its source with this compiler       (none: the wheel)
#   shared     yes: made where a person types, never by a task of a job, and never swept away: a file system that
#              many nodes share may have no locks that tell who still runs in an old one
#
# $link is a link into $link.d, where every change makes a fresh environment: a job that still runs in the old one
# keeps its files.

wrapper=$(readlink -f -- "$0")
name=envs/${wrapper##*/}
root=$(dirname -- "$(dirname -- "$wrapper")")
extra=local link=$root/.venv modules='' mpicc='' shared=''

say() { printf '%s: %s\n' "$name" "$*" >&2; }
fail() { say "$*"; exit 2; }

# flock on one of our descriptors, by the given Python (flock(1) is not everywhere).  The kernel lets go when the last
# holder of the descriptor ends, however it ends, so there are no stale locks.  Fails where the file system has none.
lock() { "$1" -ISc "import fcntl; fcntl.flock($2, fcntl.$3)" 2>/dev/null; }

# Everything an environment is made from, as text.
recipe() {
    "$1" -ISc 'import sys; print(sys.version)' && echo "$root" && cat -- "$root/setup.cfg" "$root/envs/constraints.txt"
    [ -z "$shared" ] || printf '%s\n' "extra $extra, modules $modules, mpicc $mpicc"
}

# Is the environment $1 whole and still right?  If so, descriptor 8 marks it as in use from here on, through exec.
ready() {
    [ -f "$1/recipe" ] && command exec 8<"$1/recipe" || return 1
    lock "$1/bin/python" 8 LOCK_SH || :
    now=$(recipe "$1/bin/python" 2>/dev/null) && [ "$now" = "$(cat -- "$1/recipe" 2>/dev/null)" ]
}

check_machine() {
    lacks=
    if ! command -v python3 >/dev/null; then
        lacks="python3 >= 3.11"
    elif ! python=$(python3 -Ic 'import sys; sys.exit(sys.version_info < (3, 11) or print(sys.executable))' 2>/dev/null); then
        lacks="python3 >= 3.11 (PATH finds $(python3 -V 2>&1 | tail -n 1))"
    elif ! "$python" -Ic 'import venv, ensurepip' 2>/dev/null; then
        lacks="the modules venv and ensurepip of $python (often a package of their own, python3-venv)"
    fi
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
        lacks="${lacks:+$lacks; }a C++ compiler (g++, clang++ or CXX)"
    command -v make >/dev/null || lacks="${lacks:+$lacks; }make"
    [ -z "$mpicc" ] || command -v "${mpicc%% *}" >/dev/null ||
        lacks="${lacks:+$lacks; }${mpicc%% *}, the MPI compiler that mpi4py is built with${modules:+ (modules $modules)}"
    [ -z "$lacks" ] || fail "this machine lacks: $lacks"
    case $link in *[[:space:]]*) fail "nrnivmodl cannot run from $link, it has a space; set HPCFIT_ENV to a path without" ;; esac
    case $(readlink -- "$link") in
        "${builds##*/}"/*) ;;
        *) [ ! -e "$link" ] || fail "$link was not made by $name; move it away or set HPCFIT_ENV to another path" ;;
    esac
}

# $1: the environment to fill.  The clean PIP_* keep a person's own pip settings from sending packages elsewhere.
install() (
    exec 8<&- 9<&-
    unset PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME PYTHONPATH
    export PIP_USER=0
    cd -- "$root" &&
        "$python" -m venv "$1" &&
        "$1/bin/python" -m pip install --no-input -c envs/constraints.txt setuptools || return 1
    # Against this machine's own MPI library: no wheel knows the interconnect.  No cache: it may hold another machine's.
    if [ -n "$mpicc" ]; then
        MPICC=$mpicc "$1/bin/python" -m pip install --no-input -c envs/constraints.txt --no-cache-dir \
            --no-binary=mpi4py mpi4py || return 1
    fi
    "$1/bin/python" -m pip install --no-input -c envs/constraints.txt --no-build-isolation -e ".[$extra]"
)

# One builder at a time: whoever waited finds the work done.  A build that was killed has no recipe and is swept later.
build() {
    # SLURM gives every task of a step its number: a thousand of them must not build at once, on nodes without network.
    [ -z "$shared" ] || [ -z "${SLURM_PROCID:-}" ] ||
        fail "$link is not made yet, or setup.cfg changed since; make it first, on a login node: $wrapper true"
    check_machine
    mkdir -p -- "$builds"
    exec 9>"$builds/lock"
    lock "$python" 9 "LOCK_EX | fcntl.LOCK_NB" || say "waiting for another start that is making $link ..."
    lock "$python" 9 LOCK_EX && locked=yes || locked=
    for dir in "$builds"/env-*; do
        ready "$dir" && { point_at "$dir"; return; }
    done
    dir=$builds/env-$(date +%Y%m%d-%H%M%S)-$$
    log=$builds/build.log
    made_from=$(recipe "$python")
    say "making the Python environment $link, this takes a minute or two ..."
    if ! install "$dir" >"$log" 2>&1; then
        rm -rf -- "$dir"
        tail -n 15 -- "$log" >&2
        say "could not make the environment; the whole log is $log"
        exit 1
    fi
    printf '%s\n' "$made_from" >"$dir/recipe.new"
    mv -- "$dir/recipe.new" "$dir/recipe"
    ready "$dir" || :
    previous=$(readlink -f -- "$link") || previous=
    point_at "$dir"
    [ -z "$locked" ] || [ -n "$shared" ] || sweep "$dir" "$previous"
}

# $link becomes a link to the environment $1 in one step, so that nobody ever finds it missing.
point_at() {
    ln -sfn -- "${builds##*/}/${1##*/}" "$builds/link-$$"
    "$1/bin/python" -ISc 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$builds/link-$$" "$link"
}

# Remove environments other than the new one and the one before it (kept: it makes changing branches free) unless a
# process still runs in them.
sweep() {
    # shellcheck disable=SC2015
    for old in "$builds"/env-*; do
        [ "$old" != "$1" ] && [ "$old" != "$2" ] || continue
        if [ -f "$old/recipe" ]; then
            command exec 7<>"$old/recipe" && lock "$1/bin/python" 7 "LOCK_EX | fcntl.LOCK_NB" || continue
            rm -f -- "$old/recipe"
        fi
        rm -rf -- "$old" || :
    done
    exec 7<&-
}

# What is loaded already is not loaded again: in a job every task would read all module files.
load_modules() {
    missing=
    for module in $modules; do
        case ":${LOADEDMODULES:-}:" in *":$module:"* | *":$module/"*) ;; *) missing="$missing $module" ;; esac
    done
    [ -n "$missing" ] || return 0
    if ! command -v module >/dev/null; then    # a shell function, which sh does not always inherit
        for init in "${MODULESHOME:-}/init/sh" "${LMOD_PKG:-}/init/sh" /etc/profile.d/modules.sh /etc/profile.d/lmod.sh; do
            # shellcheck disable=SC1090
            [ -r "$init" ] && set +eu && . "$init" && set -eu && break
        done
        set -eu
    fi
    command -v module >/dev/null || fail "there is no \`module\` command here, and $name loads $modules; use envs/local"
    for module in $missing; do
        # Some return 0 whatever happens, and their own functions do not live under set -eu.
        set +eu; module load "$module" >&2; code=$?; set -eu
        case "$code::${LOADEDMODULES:-}:" in
            0:*":$module:"* | 0:*":$module/"* | 0:*":${module%/*}/"*) ;;
            *) fail "module load $module does not work here; look at \`module avail ${module%%/*}\`, and set HPCFIT_MODULES" ;;
        esac
    done
}

# CMD [ARG...]: does not come back.
enter() {
    [ $# -gt 0 ] || fail "usage: $name CMD [ARG...]"
    if [ -n "${HPCFIT_MODULES+set}" ] && [ -n "$modules" ]; then modules=$HPCFIT_MODULES; fi
    load_modules
    if [ -n "$shared" ] && [ -n "${HPCFIT_MPICC:-}" ]; then mpicc=$HPCFIT_MPICC; fi
    link=${HPCFIT_ENV:-$link}
    link=${link%/}
    case $link in /*) ;; *) link=$PWD/$link ;; esac
    builds=$link.d
    dir=$(readlink -f -- "$link") || dir=$link
    if [ -n "${HPCFIT_STAGED:-}" ] && [ -x "$HPCFIT_STAGED/bin/python" ]; then
        dir=$HPCFIT_STAGED    # this node's own copy, see hpcfit stage
    elif [ -n "$shared" ] && [ -n "${SLURM_PROCID:-}" ] && [ -f "$dir/recipe" ]; then
        :    # whoever started the job has checked it; a thousand tasks need not
    else
        ready "$dir" || build
    fi
    exec 9<&-
    unset PYTHONHOME PYTHONPATH
    export VIRTUAL_ENV="$dir" PATH="$dir/bin:$PATH"
    exec "$@"
}
