# shellcheck shell=bash
# The demo in the background, for scripts that test it from outside.

# demo_start DIR: builds and starts it with its files in DIR, waits until it is ready, and sets $address to
# where a browser finds everything (http://127.0.0.1:8025), $courier to the service's public URL, and $simulator to
# the simulated Stripe's.
# The caller calls demo_stop.
demo_start() {
    local dir=$1
    mkdir -p "$dir"
    cargo build
    target/debug/capital-courier demo --no-open --dir "$dir/demo" >"$dir/demo.log" 2>&1 &
    demo=$!
    until grep -qs "API key" "$dir/demo.log"; do
        kill -0 "$demo" 2>/dev/null || fail "the demo did not start: $(cat "$dir/demo.log")"
        sleep 1
    done
    address=$(sed -n 's|^ *Open  *\(http://[0-9.:]*\)/.*|\1|p' "$dir/demo.log")
    simulator=$(sed -n 's|^ *Stripe  *\(http://[0-9.:]*\)/v1$|\1|p' "$dir/demo.log")
    courier=$(sed -n 's|^ *Webhook  *\(http://[0-9.:]*\)/webhooks/.*|\1|p' "$dir/demo.log")
}

demo_stop() {
    [ -z "${demo:-}" ] || kill "$demo" 2>/dev/null || true
    [ -z "${demo:-}" ] || wait "$demo" || true
}
