# shellcheck shell=bash
# PgBouncer, for the tests that run the service behind it.
#
#   pgbouncer_find    exports COURIER_TEST_PGBOUNCER, the command that starts it; installs it if missing
#
# Needs scripts/lib/machine.sh. Debian keeps it in /usr/sbin, which need not be in PATH. Tests start
# it with their own configuration, on 127.0.0.1, and not as root, which it refuses.

pgbouncer_present() {
    local found
    for found in pgbouncer /usr/sbin/pgbouncer /usr/local/sbin/pgbouncer; do
        if command -v "$found" >/dev/null; then
            COURIER_TEST_PGBOUNCER=$(command -v "$found")
            export COURIER_TEST_PGBOUNCER
            return
        fi
    done
    return 1
}

pgbouncer_find() {
    if [ -n "${COURIER_TEST_PGBOUNCER:-}" ] || pgbouncer_present; then return; fi
    install_package pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer || true
    # A package may start a service with its defaults, which nothing here needs.
    if command -v systemctl >/dev/null; then as_root systemctl disable --now pgbouncer >/dev/null 2>&1 || true; fi
    pgbouncer_present || fail "cannot find or install pgbouncer:" \
        "install it, or set COURIER_TEST_PGBOUNCER to the command that starts it"
}
