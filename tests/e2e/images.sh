#!/usr/bin/env bash
# ISO images as repos: each file of each image comes over HTTP as xorriso extracts it, and nothing is copied.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/e2e/common.bash
check_requirements images <<'END' || exit 0
xorriso xorriso
genisoimage genisoimage
curl curl
END
build_bootwright
quickstart=$PWD/examples/quickstart
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" HOME="$work/home" NO_COLOR=1
mkdir -p "$work/home" "$work/site/policies.d" "$work/out"

fail() {
    echo "images: $*" >&2
    [ ! -s "$work/serve.log" ] || tail -n 30 "$work/serve.log" >&2
    exit 1
}

echo "images are made"
cd "$work"
# ESXi's layout: no Rock Ridge, no Joliet, names in capitals.
genisoimage -quiet -V ESXI -o esxi.iso "$quickstart/stand-ins/esxi"
# Rock Ridge: deeper than ISO 9660 allows, with links, and with names that differ only in case.
mkdir -p unix/a/b/c/d/e/f/g/h/i/j/k unix/dists/bookworm
head -c 300000 /dev/urandom >unix/a/b/c/d/e/f/g/h/i/j/k/Deep.tar.gz
echo stable >unix/dists/bookworm/Release
ln -s bookworm unix/dists/stable
echo one >unix/Readme
echo two >unix/README
for number in $(seq 300); do echo "$number" >"unix/a/package-$number+deb12.rpm"; done
genisoimage -quiet -R -o unix.iso unix
xorriso -as mkisofs -quiet -R -o unix2.iso unix 2>/dev/null
# Joliet: long names in several scripts.
mkdir -p "windows/Übergrösse & Co/日本語"
head -c 70000 /dev/urandom >"windows/Übergrösse & Co/日本語/Ein langer Name, der in keine acht Zeichen passt (100 %).bin"
echo ä >windows/Äpfel.txt
genisoimage -quiet -J -joliet-long -input-charset utf-8 -o windows.iso windows
# A sparse file of 5 GiB.
mkdir big
truncate -s 5G big/huge.bin
for at in 0 1000000000 4294967290 5368709100; do
    printf 'here at %s' "$at" | dd of=big/huge.bin bs=1 seek="$at" conv=notrunc status=none
done
truncate -s 5G big/huge.bin
echo after >big/zz-after
xorriso -as mkisofs -quiet -R -iso-level 3 -o - big 2>/dev/null | dd of=big.iso bs=1M conv=sparse status=none
rm -r big
cd - >/dev/null

images=(esxi unix unix2 windows big)
cat >"$work/site/bootwright.toml" <<END
[http]
listen = "127.0.0.1:18090"
[operator]
listen = "127.0.0.1:18091"
[dhcp]
enabled = false
[tftp]
enabled = false
[paths]
repos = "$work"
state = "$work/state"
END
for image in "${images[@]}"; do
    printf '[repo.%s]\niso = "%s.iso"\n' "$image" "$image"
done >"$work/site/policies.d/repos.toml"
"$bootwright" --site "$work/site" init --state new >/dev/null

"$bootwright" --site "$work/site" serve >"$work/serve.log" 2>&1 &
server=$!
for ((tries = 0; ; tries++)); do
    ! grep -q "waiting for machines" "$work/serve.log" || break
    [ "$tries" -lt 100 ] || fail "the server does not start"
    sleep 0.1
done

# The size of the state directory, in KiB.
used() { du -sk --apparent-size "$work/state" | cut -f 1; }
before=$(used)
for image in "${images[@]}"; do
    # xorriso's own extraction, with the names as the image has them: version numbers are none of the name.
    out=$work/out/$image
    xorriso -osirrox on:sort_lba_on -indev "$work/$image.iso" -extract / "$out" 2>"$work/xorriso.log" ||
        fail "xorriso: $(tail -n 3 "$work/xorriso.log")"
    chmod -R u+rwX "$out"
    files=0
    while IFS= read -r -d '' file; do
        files=$((files + 1))
        path=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "${file#"$out"/}")
        served=$(curl -sf "http://127.0.0.1:18090/repo/$image/$path" | sha256sum) || fail "$image: $path does not come"
        [ "$served" = "$(sha256sum <"$file")" ] || fail "$image: $path comes with other bytes"
        size=$(curl -sfI "http://127.0.0.1:18090/repo/$image/$path" | tr -d '\r' | sed -n 's/^content-length: //Ip')
        [ "$size" = "$(stat -Lc %s "$file")" ] || fail "$image: $path has $size bytes by HEAD"
    done < <(find -L "$out" -type f -print0)
    rm -rf "$out"
    listed=$("$bootwright" --site "$work/site" repos | awk -v image="$image" '$1 == image' | tr -s ' ')
    [ -n "$listed" ] || fail "$image is not in \`bootwright repos\`"
    [ "$files" -gt 1 ] || fail "$image: only $files files were compared"
    echo "$image: $files files, each as xorriso extracts it"
done

# Where no extent ends: around 4 GiB, where the next one begins, and at the end.
for at in 0 1000000000 4294967290 5368709100; do
    text="here at $at"
    got=$(curl -sf -r "$at-$((at + ${#text} - 1))" http://127.0.0.1:18090/repo/big/huge.bin) || fail "no range at $at"
    [ "$got" = "$text" ] || fail "the range at $at is \`$got\`"
done
after=$(used)
[ $((after - before)) -lt 1024 ] || fail "the state directory grew by $((after - before)) KiB"
memory=$(awk '/^VmHWM/ { print $2 }' "/proc/$server/status")
[ "$memory" -lt 65536 ] || fail "the server took $memory KiB"
echo "images: all as it should be; the state directory grew by $((after - before)) KiB, the server took $((memory / 1024)) MiB"
