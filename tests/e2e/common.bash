# What the end-to-end scripts share: what they need, what is skipped, and the program under test.
# shellcheck shell=bash

# Tests whether BOOTWRIGHT_SKIP, a list separated by commas, has this name.
is_named_in_skip() { [[ ",${BOOTWRIGHT_SKIP:-}," == *",$1,"* ]]; }

# Reports that a test is skipped because BOOTWRIGHT_SKIP names it, or a tool that it needs. `tests/run` counts the lines.
report_skip() {
    echo "$1: skipped, because BOOTWRIGHT_SKIP names $2"
    [ -z "${BOOTWRIGHT_SKIPPED:-}" ] || echo "$1" >>"$BOOTWRIGHT_SKIPPED"
}

# Tests whether a requirement is met: the user root, a file by its absolute path, or a command.
is_present() {
    case $1 in
        root) [ "$(id -u)" -eq 0 ] ;;
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Reads requirements from standard input, one in a line, each with its Debian package, and checks them for the test
# named $1. Returns 1 if BOOTWRIGHT_SKIP names the test or one of its requirements (of a file, its last part). Exits if
# one is missing.
check_requirements() {
    local test=$1 requirement package name remedy
    if is_named_in_skip "$test"; then
        report_skip "$test" "$test"
        return 1
    fi
    while read -r requirement package; do
        name=${requirement##*/}
        if is_named_in_skip "$name"; then
            report_skip "$test" "$name"
            return 1
        fi
        is_present "$requirement" || {
            case $requirement in
                root) remedy="run it as root" ;;
                "$PWD"/*) remedy="run \`tests/run tools\`, which makes it" ;;
                *) remedy="install it: sudo apt-get install $package" ;;
            esac
            echo "$test: $requirement is missing; $remedy. To skip the test: BOOTWRIGHT_SKIP=$test" >&2
            exit 1
        }
    done
}

# Sets `bootwright` to the program under test: BOOTWRIGHT, or else a release build.
build_bootwright() {
    if [ -z "${BOOTWRIGHT:-}" ]; then
        cargo build --release --quiet
        BOOTWRIGHT=$PWD/target/x86_64-unknown-linux-gnu/release/bootwright
        export BOOTWRIGHT
    fi
    bootwright=$BOOTWRIGHT
}
