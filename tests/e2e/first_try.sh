#!/usr/bin/env bash
# The first steps of the README: the demonstration, a wrong edit, a `kill -9`, a site of one's own. A release build, real
# sockets, everything in a directory of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/e2e/common.bash
check_requirements first_try <<'END' || exit 0
curl curl
END
# Built before HOME changes: cargo needs the real one.
build_bootwright

# As root the state is under /var/lib. A mount namespace keeps it apart and ends with the script.
if [ "$(id -u)" -eq 0 ] && [ -z "${BOOTWRIGHT_E2E_INSIDE:-}" ]; then
    exec unshare --mount env BOOTWRIGHT_E2E_INSIDE=1 bash "tests/e2e/$(basename "$0")"
fi
if [ "$(id -u)" -eq 0 ]; then
    mount -t tmpfs none /var/lib
fi

work=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=
}
trap 'stop; rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" HOME="$work/home" NO_COLOR=1
mkdir -p "$HOME"
log="$work/serve.log"
repo=$PWD

fail() {
    echo "first_try: $*" >&2
    [ ! -e "$log" ] || tail -n 30 "$log" >&2
    exit 1
}

# Waits until a text stands in a file, half a minute at most.
await() {
    local tries=0
    until grep -q -- "$1" "$2" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 150 ] || fail "\`$1\` did not appear in $2"
        sleep 0.2
    done
}

expect() {
    local wanted=$1
    shift
    local got
    got=$("$@" 2>&1) || true
    grep -q -- "$wanted" <<<"$got" || fail "expected \`$wanted\` from: $*
$got"
}

# Serves a site until `stop`. Each site has its own state.
serve() {
    : >"$log"
    "$bootwright" serve "$1" >"$log" 2>&1 &
    server=$!
    await "waiting for machines" "$log"
}

# ldd has one of two messages for a static program, depending on how it was linked.
linked=$(ldd "$bootwright" 2>&1 || true)
grep -q "statically linked\|not a dynamic executable" <<<"$linked" || fail "the binary is not static: $linked"

echo "the demonstration"
cp -r examples/quickstart "$work/site"
sed -i 's/:8080/:18080/; s/:8067/:18067/' "$work/site/bootwright.toml"
serve "$work/site"
machines=http://127.0.0.1:18080
operators=http://127.0.0.1:18067
[ "$(curl -fsS $machines/healthz)" = ok ] || fail "/healthz is not ok"
cd "$work/site"
expect "^esx01 *bound" "$bootwright" nodes
expect "finished" "$bootwright" play esx01
expect "^esx01 *finished" "$bootwright" nodes
expect "its own disk: nothing is due" "$bootwright" nodes esx01 log

echo "a wrong edit"
cp policies.d/nodes.toml "$work/nodes.toml"
sed -i '/^\[node.web01\]/,/^$/s/192\.0\.2\.12/192.0.2.11/' policies.d/nodes.toml
await "errors; revision\|error; revision" "$log"
expect "192.0.2.11 is used twice" "$bootwright" check
state=/var/lib/bootwright
[ "$(id -u)" -eq 0 ] || state=$XDG_STATE_HOME
token=$(find "$state" -name operator-token)
[ "$(stat -c %a "$token")" = 600 ] || fail "the operator token is not private"
expect "the operator token is missing" curl -sS $operators/api/v1/status
expect '"rejected":{' curl -fsS -H "Authorization: Bearer $(cat "$token")" $operators/api/v1/status
expect "degraded" curl -fsS $machines/healthz
expect "192.0.2.12" "$bootwright" nodes
cp "$work/nodes.toml" policies.d/nodes.toml
tries=0
until [ "$(curl -fsS $machines/healthz)" = ok ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the mended site did not go live"
    sleep 0.2
done

echo "kill -9"
kill -9 "$server"
wait "$server" 2>/dev/null || true
serve "$work/site"
expect "^esx01 *finished" "$bootwright" nodes
expect "boots its disk" "$bootwright" play esx01 --boots 1
expect "esx01 will be installed once more" "$bootwright" reinstall esx01
expect "attempt     2 opened" "$bootwright" play esx01
stop

echo "a site of one's own"
"$bootwright" init "$work/lab" --no-input >"$work/init.log" 2>&1 || fail "init: $(cat "$work/init.log")"
cd "$work/lab"
# The file is that of the README, with the path of this clone.
awk '/^```toml$/ { block = ""; inside = 1; next } /^```$/ { if (block ~ /network\.tutorial/) printf "%s", block; inside = 0 } \
    inside { block = block $0 "\n" }' "$repo/README.md" | sed "s,/path/to/bootwright,$repo," >policies.d/first.toml
"$bootwright" check || fail "the tutorial's site has errors"
expect "--ip=198.51.100.21 .*--hostname=db1.lab.example" "$bootwright" render db1 ks.cfg
expect "policies.d/first.toml:13" "$bootwright" explain db1
expect "finished    reported by the machine" "$bootwright" play db1
sed -i 's/^address/adress/' policies.d/first.toml
if "$bootwright" check >"$work/check.log" 2>&1; then
    fail "check passes a wrong key"
fi
expect "did you mean \`address\`" cat "$work/check.log"
echo "first try: all as the README says"
