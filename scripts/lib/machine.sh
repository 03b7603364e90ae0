# shellcheck shell=bash
# Messages, timing, and installing packages with the system's package manager.

say() { printf '%s\n' "· $*" >&2; }
fail() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

# Runs a command as root, or through sudo. Asks for a password only on a terminal.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# install_package APT DNF APK PACMAN BREW: the package's name with each manager, `-` for none. The
# status says nothing about success: the caller checks for what it needs.
install_package() {
    local apt=$1 dnf=$2 apk=$3 pacman=$4 brew=$5
    if command -v apt-get >/dev/null && [ "$apt" != - ]; then
        say "installing $apt (apt-get)"
        as_root apt-get -qq update >&2 || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$apt" >&2
    elif command -v dnf >/dev/null && [ "$dnf" != - ]; then
        say "installing $dnf (dnf)"
        as_root dnf -q install -y "$dnf" >&2
    elif command -v apk >/dev/null && [ "$apk" != - ]; then
        say "installing $apk (apk)"
        as_root apk add -q "$apk" >&2
    elif command -v pacman >/dev/null && [ "$pacman" != - ]; then
        say "installing $pacman (pacman)"
        as_root pacman -Sy --noconfirm --needed "$pacman" >&2
    elif command -v brew >/dev/null && [ "$brew" != - ]; then
        say "installing $brew (brew)"
        brew install -q "$brew" >&2
    else
        return 1
    fi
}

# step NAME COMMAND…: runs the command and prints how long it took. Returns the command's status.
step() {
    local name=$1 started=$SECONDS status=0
    shift
    printf '\n▶ %s\n' "$name" >&2
    "$@" || status=$?
    printf '%s %s: %d s\n' "$([ "$status" = 0 ] && echo ✔ || echo ✘)" "$name" "$((SECONDS - started))" >&2
    return "$status"
}

# cargo_tool CRATE VERSION COMMAND OPTIONS…: makes COMMAND (`cargo-deny`) available in this version
# or a newer patch. Builds it once, into target/tools, without optimization: it takes longer to build than to run.
cargo_tool() {
    local crate=$1 version=$2 command=$3
    shift 3
    PATH=$PWD/target/tools/bin:$PATH
    # `cargo-deny 0.20.2`, `sqlx-cli-sqlx 0.9.0`; `0.9.2` where a tool knows the option alone.
    local found
    found=$("$command" "${command#cargo-}" --version 2>/dev/null) ||
        found=$("$command" --version 2>/dev/null) || true
    case " $found" in
        *" ${version%.*}."*) ;;
        *)
            # One folder, because they share dependencies.
            cargo install --locked --quiet --debug --root target/tools --target-dir target/tools/build \
                "$crate@$version" "$@"
            ;;
    esac
}
