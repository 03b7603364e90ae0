# shellcheck shell=bash
# The demo in the background, for scripts that test it from outside.

# demo_start DIR: builds and starts it with its files in DIR, waits until it is ready, and sets
# $courier and $simulator to their URLs (http://127.0.0.1:8080). The caller calls demo_stop.
demo_start() {
    local dir=$1
    mkdir -p "$dir"
    cargo build
    target/debug/capital-courier demo --dir "$dir/demo" >"$dir/demo.log" 2>&1 &
    demo=$!
    until grep -qs Running "$dir/demo.log"; do
        kill -0 "$demo" 2>/dev/null || fail "the demo did not start: $(cat "$dir/demo.log")"
        sleep 1
    done
    simulator=$(sed -n 's|.*\(http://[0-9.:]*\)/_simulator/ .*|\1|p' "$dir/demo.log")
    courier=$(sed -n 's|.*\(http://[0-9.:]*\)/webhooks/.*|\1|p' "$dir/demo.log")
}

demo_stop() {
    [ -z "${demo:-}" ] || kill "$demo" 2>/dev/null || true
    [ -z "${demo:-}" ] || wait "$demo" || true
}
