# shellcheck shell=bash
# An SMTP server that is not ours, so that emails are not checked by our own test relay alone.
#
#   aiosmtpd_find    exports COURIER_TEST_AIOSMTPD, the command that starts it; installs it if missing
#
# Needs scripts/lib/machine.sh, and the project as working directory.

AIOSMTPD_VERSION=1.4.6

# A system package belongs to the system's Python, which need not be the first in PATH.
aiosmtpd_present() {
    local python
    # A relative path has no spaces, wherever the project is; tests run in the project's directory.
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
    aiosmtpd_present || fail "cannot find or install aiosmtpd, the SMTP server of the tests:" \
        "install it (python3 -m pip install aiosmtpd), or set COURIER_TEST_AIOSMTPD to the command that starts it"
}
