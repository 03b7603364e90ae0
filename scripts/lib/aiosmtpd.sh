# shellcheck shell=bash
# A real SMTP server that is not ours: letters must be right for others too, not for our own test relay alone.
#
#   aiosmtpd_find    exports COURIER_TEST_AIOSMTPD, the command that starts it; installs it where it is missing
#
# Needs scripts/lib/machine.sh, and to be run in the project's folder.

AIOSMTPD_VERSION=1.4.6

# A system's package belongs to the system's Python, which need not be the first in PATH.
aiosmtpd_present() {
    local python
    # The relative path has no spaces, wherever the project lies; tests run in the project's folder.
    for python in target/tools/aiosmtpd/bin/python python3 /usr/bin/python3; do
        if "$python" -c 'import aiosmtpd' >/dev/null 2>&1; then
            COURIER_TEST_AIOSMTPD="$(command -v "$python") -m aiosmtpd"
            export COURIER_TEST_AIOSMTPD
            return
        fi
    done
    return 1
}

aiosmtpd_into_venv() {
    local venv=target/tools/aiosmtpd python
    for python in python3 /usr/bin/python3; do
        if "$python" -m venv "$venv" >/dev/null 2>&1 &&
            "$venv/bin/python" -m pip install -q --retries 1 "aiosmtpd==$AIOSMTPD_VERSION" >&2; then
            return
        fi
        rm -rf "$venv"
    done
    return 1
}

aiosmtpd_find() {
    if [ -n "${COURIER_TEST_AIOSMTPD:-}" ] || aiosmtpd_present; then return; fi
    install_package python3-aiosmtpd python3-aiosmtpd py3-aiosmtpd python-aiosmtpd - || true
    if aiosmtpd_present; then return; fi
    say "installing aiosmtpd into target/tools (pip)"
    aiosmtpd_into_venv || true
    aiosmtpd_present || fail "no aiosmtpd, the SMTP server of the tests, and it could not be installed:" \
        "install it (python3 -m pip install aiosmtpd), or set COURIER_TEST_AIOSMTPD to the command that starts it"
}
