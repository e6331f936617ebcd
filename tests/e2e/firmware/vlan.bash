# A machine that boots on an untagged network; its installed system uses a tagged one.
scenario_boot_network() {
    site 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"' 'network = "prod"
boot-network = "lab"'
    cat >>"$work/site/policies.d/site.toml" <<'END'

[network.prod]
subnet = "198.51.100.0/24"
gateway = "198.51.100.254"
dns = "198.51.100.254"
domain = "prod.example"
vlan = 20
END
    sed -i 's/^address = .*/address = "198.51.100.21"/' "$work/site/policies.d/site.toml"
    # The installer fetches the script that it would run last, and reports the network of the installed system.
    cat >"$work/site/templates/tasks/debian/preseed.cfg.j2" <<'END'
{% extends "built-in/debian/preseed.cfg.j2" %}
{% block early %}
d-i preseed/early_command string wget -q -O /dev/null "{{ urls.stage("installing") }}"; wget -q -O /tmp/late.sh "{{ urls.document("late.sh") }}"; say() { wget -q -O /dev/null "{{ urls.base }}/t/{{ urls.token }}/log/info/$1"; }; say "i-am-$(hostname)-at-$(ip -4 -o addr show scope global | sed 's/.*inet //; s,/.*,,')"; say "will-be-$(sed -n 's/^Id=/vlan-/p; s,^Address=\(.*\)/24,at-\1,p' /tmp/late.sh | sort -r | tr '\n' '-')"; true
{% endblock %}
END
    serve
    capture
    bios
    await_log "will-be-" 240
    log_has "iPXE, BIOS: offer 192.0.2.1[0-5][0-9], loader http://192.0.2.1/boot.ipxe"
    log_has "i-am-db1-at-192.0.2.1[0-5][0-9]$"
    log_has "will-be-vlan-20-at-198.51.100.21-$"
    log_has "document .*preseed.cfg"
    log_has "file .*late.sh"
    [ "$(packets "src net 198.51.100.0/24 or vlan")" -eq 0 ] || fail "the installer used the network that the system will have"
    # `render` shows the same: no address for the installer, one for the system.
    "$bootwright" --site "$work/site" render db1 >"$work/rendered"
    ! grep -q "netcfg/get_ipaddress\|netcfg/disable_autoconfig=true" "$work/rendered" || fail "the installer has a static address"
    for line in "Id=20" "Address=198.51.100.21/24" "Gateway=198.51.100.254" "DNS=198.51.100.254"; do
        grep -q "^$line$" "$work/rendered" || fail "the rendered files lack $line"
    done
}
