#!/usr/bin/env bash
# Makes the root directory of Debian's installer, as it is once it has loaded its components: the initrd of the netboot
# image and the installer's packages. Usage: installer_root.sh 12|13 DIRECTORY
set -euo pipefail

release=$1
out=$(realpath -m "$2")

case $release in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "no release $release" >&2; exit 2 ;;
esac

# Source packages. Mirrors that lack the source package may have what is built of it, which follows the colon: packages of
# the installer, or one of the system with the same scripts.
readonly components=(
    apt-setup:apt-setup-udeb,apt-mirror-setup,apt-cdrom-setup
    clock-setup:clock-setup
    base-installer:base-installer,bootstrap-base
    debian-installer-utils:di-utils
    finish-install:finish-install
    grub-installer:grub-installer
    partman-auto:partman-auto
    partman-auto-lvm:partman-auto-lvm
    partman-base:partman-base
    partman-lvm:partman-lvm
    partman-md:partman-md
    pkgsel:pkgsel
    tzsetup:tzsetup-udeb
    user-setup:user-setup
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,packages} "$out"

# The mirror is that of this machine.
find_mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v -- '-security' | head -n 1; }
mirror=$(find_mirror || true)
if [ -z "$mirror" ] && [ "$(id -u)" -eq 0 ]; then
    apt-get update -qq
    mirror=$(find_mirror || true)
fi
[ -n "$mirror" ] || { echo "apt has no package lists; run: apt-get update" >&2; exit 1; }
keys='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists"
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o APT::Architectures=amd64)
printf '%s\n' "deb $keys $mirror $suite main" "deb-src $keys $mirror $suite main" >"$work/sources"
"${apt[@]}" update
# The index of the installer's packages is not in step with the others on every mirror. Without it, source packages remain.
echo "deb $keys $mirror $suite main/debian-installer" >>"$work/sources"
"${apt[@]}" update 2>"$work/index.log" || echo "note: Debian $release: the mirror's index of installer packages is not in step"

# The kernel's modules and firmware are of no use here.
unpack_initrd() {
    gzip -dc "$1" | (cd "$out" && busybox cpio -idm 2>/dev/null)
    rm -rf "$out"/usr/lib/modules "$out"/lib/modules "$out"/usr/lib/firmware "$out"/lib/firmware
}

initrd=usr/lib/debian-installer/images/$release/amd64/text/debian-installer/amd64/initrd.gz
if [ -e "/$initrd" ]; then
    unpack_initrd "/$initrd"
else
    (cd "$work/packages" && "${apt[@]}" download "debian-installer-$release-netboot-amd64")
    dpkg-deb --fsys-tarfile "$work"/packages/*.deb | tar -x -C "$work" "./$initrd"
    rm "$work"/packages/*.deb
    unpack_initrd "$work/$initrd"
fi

# What belongs to a package besides its files: its questions and the script that runs it.
info=$out/var/lib/dpkg/info
mkdir -p "$info"

add_binary() {
    local file=$1 name=$2 control
    # The root directory has links where a package may have directories.
    dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$out"
    control=$(mktemp -d -p "$work")
    dpkg-deb -e "$file" "$control"
    for part in templates postinst; do
        [ ! -e "$control/$part" ] || cp "$control/$part" "$info/$name.$part"
    done
}

# Installs what needs no compiler, as debhelper's `install` files say.
add_source() {
    local file=$1 name=$2 source from to list part number path
    source=$(mktemp -d -p "$work")
    tar -x --strip-components=1 -C "$source" -f "$file"
    # The directories of partman: a file `_numbers` says in which order their entries are run.
    if [ -e "$source/debian/di-numbers" ] || [ -n "$(find "$source" -name _numbers -print -quit)" ]; then
        (cd "$source" && find . -name _numbers) | while read -r list; do
            path=$(dirname "$list")
            path=${path#./}
            path=${path#lib/partman/}
            while read -r number part; do
                [ -e "$source/$(dirname "$list")/$part" ] || continue
                mkdir -p "$out/lib/partman/$path"
                cp -r "$source/$(dirname "$list")/$part" "$out/lib/partman/$path/$number$part"
            done <"$source/$list"
        done
    fi
    for list in "$source"/debian/*.install "$source"/debian/install; do
        [ -e "$list" ] || continue
        while read -r from to; do
            [ -n "$to" ] || { to=$(dirname "$from"); }
            for path in "$source"/$from; do
                [ -e "$path" ] || continue
                mkdir -p "$out/$to"
                cp -r "$path" "$out/$to"
            done
        done <"$list"
    done
    for part in templates postinst; do
        for path in "$source"/debian/*."$part"; do
            [ ! -e "$path" ] || cp "$path" "$info"
        done
        [ ! -e "$source/debian/$part" ] || cp "$source/debian/$part" "$info/$name.$part"
    done
    chmod -f +x "$info"/*.postinst
}

# Downloads the archive of a source package. Its description may be missing, so `apt-get source` cannot be used; the index has
# the checksum.
download_source() {
    local uri name checksum
    while read -r uri name _ checksum; do
        case $name in
            *.tar.*) /usr/lib/apt/apt-helper -qq download-file "${uri//\'/}" "$name" "$checksum" ;;
        esac
    done < <("${apt[@]}" source --print-uris "$1/$suite")
}

cd "$work/packages"
for component in "${components[@]}"; do
    source=${component%:*}
    if download_source "$source" 2>"$work/source.log"; then
        add_source "$source"_*.tar.* "$source"
    else
        IFS=, read -ra packages <<<"${component#*:}"
        for package in "${packages[@]}"; do
            if "${apt[@]}" download "$package" 2>"$work/binary.log"; then
                add_binary "$package"_* "$package"
            else
                echo "note: Debian $release: the mirror has no $package"
            fi
        done
    fi
    rm -f "$work"/packages/*
done
echo "$suite" >"$out/codename"
