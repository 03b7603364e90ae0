# shellcheck shell=bash
# A real PgBouncer: the service must work through one, and say what is wrong where it cannot.
#
#   pgbouncer_find    exports COURIER_TEST_PGBOUNCER, the command that starts it; installs it where it is missing
#
# Needs scripts/lib/machine.sh. Debian keeps it in /usr/sbin, which need not be in PATH. Tests start it with a
# configuration of their own, on 127.0.0.1 alone, and not as root, which it refuses.

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
    # A package may start a service with its defaults. Nobody asked for it.
    if command -v systemctl >/dev/null; then as_root systemctl disable --now pgbouncer >/dev/null 2>&1 || true; fi
    pgbouncer_present || fail "no pgbouncer, and it could not be installed:" \
        "install it, or set COURIER_TEST_PGBOUNCER to the command that starts it"
}
