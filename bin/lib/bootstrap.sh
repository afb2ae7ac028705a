# The environment that bin/cais and bin/test run in: .venv in the project's folder, made from the lock files.
# Sourced with $project set to that folder.
#
#   bootstrap run    makes what Cais itself needs: Debian packages, the virtual environment, the pinned Python packages
#   bootstrap dev    that, and what the tests need
#
# A stamp newer than its lock file says that nothing is left to do: a later call is three tests of the shell, no process.
# All that it prints goes to standard error, so that the output of the command that caused it stays clean.

bootstrap() {
    bootstrap_lock=$project/requirements.lock
    bootstrap_packages='python3-venv libseccomp2 libnftables1 busybox-static ca-certificates'
    if [ "$1" = dev ]; then
        bootstrap_lock=$project/requirements-dev.lock
        bootstrap_packages="$bootstrap_packages docker-registry mmdebstrap iproute2 nftables openssl procps skopeo util-linux"
    fi
    if [ "$project/.venv/.installed-$1" -nt "$bootstrap_lock" ] && [ -x "$project/.venv/bin/python" ]; then
        return 0
    fi
    # Two first calls at once: the second waits and then finds everything made. (The redirection cannot be a sub-shell's:
    # bootstrap_failed must end the caller.)
    exec 9<"$bootstrap_lock"
    flock 9
    if ! [ "$project/.venv/.installed-$1" -nt "$bootstrap_lock" ] || ! [ -x "$project/.venv/bin/python" ]; then
        bootstrap_debian $bootstrap_packages
        if [ "$1" = dev ] && ! command -v docker >/dev/null 2>&1; then
            bootstrap_docker_client
        fi
        bootstrap_python "$bootstrap_lock"
        : >"$project/.venv/.installed-$1"
        # The packages of the dev lock include those of the run-time lock, in the same versions.
        [ "$1" = run ] || : >"$project/.venv/.installed-run"
    fi
    exec 9<&-
}

bootstrap_failed() {
    printf 'cais: %s\n' "$1" >&2
    exit 125
}

# Installs those of the named Debian packages that are missing.
bootstrap_debian() {
    command -v dpkg-query >/dev/null 2>&1 || {
        printf 'cais: this is no Debian or Ubuntu system; its own packages for these are needed: %s\n' "$*" >&2
        return 0
    }
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" -eq 0 ] || bootstrap_failed "Debian packages are missing and only root can install them:$missing"
    printf 'cais: installing Debian packages (once):%s\n' "$missing" >&2
    # A machine's package lists may be absent or out of date; a failure to renew them shows in the install.
    apt-get update -qq >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 </dev/null ||
        bootstrap_failed "apt-get could not install:$missing"
}

# The docker command, a client for the tests. Its package may bring a daemon along, which is kept from starting.
bootstrap_docker_client() {
    if apt-cache show docker-cli >/dev/null 2>&1; then
        bootstrap_debian docker-cli
        return 0
    fi
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        bootstrap_debian docker.io
        return 0
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    bootstrap_debian docker.io
    rm -f "$policy"
    trap - EXIT
}

# The first interpreter of this machine that is new enough; Debian's own before what stands earlier on the PATH.
bootstrap_interpreter() {
    for candidate in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# Makes .venv where there is none that works, and installs what the lock file names into it.
bootstrap_python() {
    venv=$project/.venv
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        interpreter=$(bootstrap_interpreter) || bootstrap_failed 'Python 3.11 or newer is needed, with its venv module'
        "$interpreter" -m venv --clear "$venv" >&2 || bootstrap_failed "a virtual environment could not be made in $venv"
    fi
    printf 'cais: installing the pinned Python packages (once)\n' >&2
    "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check --require-hashes -r "$1" >&2 ||
        bootstrap_failed "pip could not install the packages of $1"
    # The source tree itself, as an editable install would put it there, without building anything.
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$project/src" >"$site/cais.pth"
    PYTHONDONTWRITEBYTECODE= "$venv/bin/python" -m compileall -q "$project/src" >&2 || true
}
