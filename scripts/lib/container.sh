# shellcheck shell=bash disable=SC2034,SC2154 # Shares variables with scripts/try-image.
# Runs the image of scripts/image in the first of these that works: podman, a chroot in a mount
# namespace, a chroot.
#
#   container_find         sets $engine, which stays empty if even a chroot is impossible
#   container_start        starts the image; sets $container_pid
#   container_exec COMMAND runs a command inside
#   container_healthcheck  runs its health check inside
#   container_stop SECONDS sends SIGTERM, and SIGKILL after so long; sets $container_status
#   container_log          prints what it logged
#   container_written      prints the files that it changed
#   container_remove       ends what is left of it
#
# Needs scripts/lib/machine.sh, and in $dir: the folder `tree` with the image's root file system, the
# file `config` with its configuration, the file `settings` with NAME=value lines.

engine=
container_pid=

container_find() {
    local try
    for try in ${COURIER_IMAGE_ENGINE:-podman namespace chroot}; do
        if "can_$try"; then
            engine=$try
            return
        fi
        say "$try does not work here: $(tail -n 1 "$dir/engine.log")"
    done
}
container_start() { "start_$engine"; }
container_exec() { "exec_$engine" "$@"; }
container_healthcheck() {
    local command
    mapfile -t command < <(of_config healthcheck)
    container_exec "${command[@]}"
}
container_stop() { "stop_$engine" "$1"; }
container_log() { "log_$engine"; }
container_written() { "written_$engine"; }
container_remove() {
    if [ -n "$engine" ]; then "remove_$engine" >/dev/null 2>&1 || true; fi
    # Without root, the files belong to users that exist in podman's namespace only.
    if [ "$(id -u)" != 0 ] && [ -d "$dir/podman" ]; then podman unshare rm -rf "$dir/podman" || true; fi
}

of_config() { sed -n "s/^$1	//p" "$dir/config"; }

# --- podman ---

# A store of its own: nothing stays on this machine, and its other containers are not touched.
store() {
    podman --root "$dir/podman" --runroot "$dir/podman-run" --tmpdir "$dir/podman-tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend file "$@"
}
# The host's network, because Postgres and the others listen on its loopback address. Limits that
# podman may set without privileges of the machine.
podman_run() {
    store --runtime "$container_runtime" run --network host --ulimit nofile=1024 --ulimit nproc=1024 \
        --log-driver k8s-file --read-only --read-only-tmpfs=false --cap-drop all \
        --security-opt no-new-privileges "$@"
}
# Of the two runtimes, crun refuses a mixture of cgroups 1 and 2, and runc needs cgroups.
can_podman() {
    {
        if ! command -v podman; then
            install_package podman podman podman podman - || true
            install_package runc runc runc runc - || true
        fi
        podman --version && store load --input target/image/oci && container_image=$(store images --quiet) ||
            return
        for container_runtime in crun runc; do
            if podman_run --rm "$container_image" --version; then return; fi
        done
        return 1
    } >"$dir/engine.log" 2>&1
}
start_podman() {
    podman_run --detach --name courier --env-file "$dir/settings" "$container_image" >/dev/null
    container_pid=$(store inspect --format '{{.State.Pid}}' courier)
}
exec_podman() { store exec courier "$@"; }
stop_podman() {
    store stop --time "$1" courier >/dev/null
    container_status=$(store inspect --format '{{.State.ExitCode}}' courier)
}
log_podman() { store logs courier 2>&1; }
# Without the files and folders that podman mounts over.
written_podman() {
    local mounted='dev|etc|etc/(hosts|hostname|mtab|resolv.conf)|proc|run|run/(.containerenv|secrets)|sys'
    store diff courier | grep -vE "^[AC] /($mounted)$" || true
}
remove_podman() { store rm --force --time 1 courier; }

# --- a chroot, in a mount namespace or without ---

# Runs a command of the image in the root file system, as its user if root can be left.
enter() {
    local identity=() environment
    if [ "$(id -u)" = 0 ]; then identity=(--userspec="$(of_config user)" --groups=); fi
    mapfile -t environment < <(of_config env && cat "$dir/settings")
    exec env -i "${environment[@]}" "${namespace[@]}" setpriv --no-new-privs \
        chroot "${identity[@]}" "$dir/tree" "$@" </dev/null
}
can_enter() { (enter /usr/local/bin/capital-courier --version) >"$dir/engine.log" 2>&1; }
can_chroot() {
    namespace=()
    can_enter
}
can_namespace() {
    # shellcheck disable=SC2016 # The inner shell expands them.
    namespace=(unshare --mount sh -c
        'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$dir/tree")
    if [ "$(id -u)" != 0 ]; then namespace=("${namespace[0]}" --map-root-user "${namespace[@]:1}"); fi
    can_enter
}
listing() { find "$dir/tree" -printf '%P %y %m %U %s %T@ %C@\n' | sort; }
start_chroot() {
    local command
    mapfile -t command < <(of_config run)
    listing >"$dir/before"
    (enter "${command[@]}") >"$dir/log" 2>&1 &
    container_pid=$!
}
exec_chroot() (enter "$@")
stop_chroot() {
    kill -TERM "$container_pid"
    (sleep "$1" && kill -KILL "$container_pid") 2>/dev/null &
    local killer=$!
    container_status=0
    wait "$container_pid" || container_status=$?
    kill "$killer" 2>/dev/null || true
}
log_chroot() { cat "$dir/log"; }
written_chroot() { listing | diff "$dir/before" - || true; }
remove_chroot() { kill -KILL "$container_pid"; }

start_namespace() { start_chroot; }
exec_namespace() { exec_chroot "$@"; }
stop_namespace() { stop_chroot "$1"; }
log_namespace() { log_chroot; }
written_namespace() { written_chroot; }
remove_namespace() { remove_chroot; }
