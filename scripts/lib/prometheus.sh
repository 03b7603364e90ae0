# shellcheck shell=bash
# Prometheus and promtool: the machine's, or Debian's package unpacked into target/tools. Needs
# scripts/lib/machine.sh.
#
#   prometheus_find    sets PROMETHEUS_BIN to their directory; fails where they cannot be had

PROMETHEUS_BIN=

prometheus_find() {
    local dir=$PWD/target/tools/prometheus
    if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
        PROMETHEUS_BIN=$(dirname "$(command -v promtool)")
        return
    fi
    PROMETHEUS_BIN=$dir/usr/bin
    if [ -x "$PROMETHEUS_BIN/promtool" ]; then return; fi
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    mkdir -p "$dir"
    say "unpacking Debian's prometheus into target/tools"
    # Needs no root: nothing is installed.
    (cd "$dir" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) \
        >/dev/null 2>&1 || return 1
    [ -x "$PROMETHEUS_BIN/promtool" ]
}
