# shellcheck shell=bash
# What scripts need from the machine: saying something, and installing a package with the system's package manager.

say() { printf '%s\n' "· $*" >&2; }
fail() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

# Runs a command as root: directly, or through sudo. Asks for a password only where somebody can type one.
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

# install_package APT DNF APK PACMAN BREW: the package's name with each manager, `-` where it has none.
# Says nothing about success: the caller looks whether what it wanted is there now.
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

# step NAME COMMAND…: runs the command and says how long it took. Its exit status is the command's.
step() {
    local name=$1 started=$SECONDS status=0
    shift
    printf '\n▶ %s\n' "$name" >&2
    "$@" || status=$?
    printf '%s %s: %d s\n' "$([ "$status" = 0 ] && echo ✔ || echo ✘)" "$name" "$((SECONDS - started))" >&2
    return "$status"
}

# cargo_tool CRATE VERSION COMMAND OPTIONS…: sees to it that COMMAND (`cargo-deny`) is there in this version; a newer patch
# will do. What is missing is built once, into target/tools.
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
        *) cargo install --locked --quiet --root target/tools "$crate@$version" "$@" ;;
    esac
}
