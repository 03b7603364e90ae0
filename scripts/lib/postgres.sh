# shellcheck shell=bash
# A private, temporary Postgres for tests and checks, from the machine's own binaries.
#
#   postgres_start    starts one and exports DATABASE_URL
#   postgres_restart  stops it as a crash would and starts it again
#   postgres_stop     stops it and removes its files; does nothing if none runs
#
# Needs scripts/lib/machine.sh. The server listens on 127.0.0.1, with a random password.

POSTGRES_DIR=${POSTGRES_DIR:-}
POSTGRES_BIN=${POSTGRES_BIN:-}

# The directory of initdb and pg_ctl, newest version first. Debian, Red Hat and Alpine keep them out
# of PATH.
find_postgres() {
    local found
    found=$(
        {
            command -v initdb || true
            pg_config --bindir 2>/dev/null | sed 's|$|/initdb|' || true
            ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/libexec/postgresql*/initdb \
                /opt/homebrew/opt/postgresql@*/bin/initdb /usr/local/opt/postgresql@*/bin/initdb 2>/dev/null || true
        } | while read -r initdb; do
            bin=$(dirname "$initdb")
            if [ ! -x "$initdb" ] || [ ! -x "$bin/pg_ctl" ]; then continue; fi
            # `initdb (PostgreSQL) 17.2 (Debian 17.2-1)`
            printf '%s %s\n' "$("$initdb" --version | sed 's/^[^0-9]*\([0-9][0-9]*\).*/\1/')" "$bin"
        done | sort -rn | head -n 1
    )
    POSTGRES_BIN=${found#* }
    [ -n "$POSTGRES_BIN" ]
}

# Postgres refuses to run as root: then it runs as `postgres`, or as `nobody`.
postgres_user() {
    if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# Runs one of Postgres's programs in its own directory: ours may be inaccessible to that user.
postgres_run() (
    cd "$POSTGRES_DIR" || exit
    program=$POSTGRES_BIN/$1
    shift
    if [ "$(id -u)" != 0 ]; then
        exec "$program" "$@"
    fi
    user=$(postgres_user)
    if command -v runuser >/dev/null; then
        exec runuser -u "$user" -- "$program" "$@"
    fi
    # busybox and BSD have only `su`.
    # shellcheck disable=SC2016 # The inner shell expands them.
    exec su -s /bin/sh "$user" -c 'exec "$0" "$@"' -- "$program" "$@"
)

postgres_start() {
    if [ -n "${DATABASE_URL:-}" ] && [ "${COURIER_TEST_KEEP_DATABASE:-}" = 1 ]; then
        say "using the Postgres of DATABASE_URL"
        return
    fi
    find_postgres || {
        install_package postgresql postgresql-server postgresql postgresql postgresql@17 || true
        find_postgres || fail "cannot find or install Postgres: install its server (initdb and pg_ctl)," \
            "or set DATABASE_URL to a superuser's and COURIER_TEST_KEEP_DATABASE=1"
    }
    local folder=${TMPDIR:-/tmp} password port try
    # Root's TMPDIR may be inaccessible to the user that Postgres runs as.
    if [ "$(id -u)" = 0 ]; then folder=/tmp; fi
    POSTGRES_DIR=$(mktemp -d "$folder/courier-postgres.XXXXXX")
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$POSTGRES_DIR/password"
    if [ "$(id -u)" = 0 ]; then chown -R "$(postgres_user)" "$POSTGRES_DIR"; fi
    postgres_run initdb -D "$POSTGRES_DIR/data" -U postgres -A password --pwfile="$POSTGRES_DIR/password" \
        -E UTF8 --locale=C --no-sync >"$POSTGRES_DIR/initdb.log" 2>&1 ||
        fail "initdb failed:" "$(cat "$POSTGRES_DIR/initdb.log")"

    # Below the ephemeral ports, so that only another Postgres of ours can be in the way.
    for try in 1 2 3 4 5 6 7 8 9 10; do
        port=$((15000 + (RANDOM % 15000)))
        if postgres_run pg_ctl start -w -s -D "$POSTGRES_DIR/data" -l "$POSTGRES_DIR/log" \
            -o "$(postgres_options "$port")" >/dev/null 2>&1; then
            POSTGRES_PORT=$port
            export DATABASE_URL="postgres://postgres:$password@127.0.0.1:$port/postgres"
            return
        fi
    done
    fail "Postgres did not start in $try attempts:" "$(cat "$POSTGRES_DIR/log")"
}

# Without fsync, unless POSTGRES_DURABLE is set: the data is disposable. Each test has its own
# database and pool, hence the number of connections.
postgres_options() {
    printf '%s ' -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300
    if [ -z "${POSTGRES_DURABLE:-}" ]; then
        printf '%s ' -c fsync=off -c synchronous_commit=off -c full_page_writes=off
    fi
}

postgres_restart() {
    postgres_run pg_ctl restart -w -s -m immediate -D "$POSTGRES_DIR/data" -l "$POSTGRES_DIR/log" \
        -o "$(postgres_options "$POSTGRES_PORT")" >/dev/null
}

postgres_stop() {
    if [ -z "$POSTGRES_DIR" ]; then return; fi
    if [ -e "$POSTGRES_DIR/data/postmaster.pid" ]; then
        postgres_run pg_ctl stop -w -s -m immediate -D "$POSTGRES_DIR/data" >/dev/null 2>&1 || true
    fi
    rm -rf "$POSTGRES_DIR"
    POSTGRES_DIR=
}
