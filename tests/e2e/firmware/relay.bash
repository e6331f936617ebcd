# A machine behind a router that relays DHCP.

# A subnet of its own for db1, behind a router. Its DHCP relay adds option 82 with the interface of the request.
far() {
    ip netns add far
    ip netns add hop
    ip -n far link add br1 address 02:00:00:00:00:f1 type bridge forward_delay 0
    ip -n far link set br1 up
    ip -n far tuntap add dev tap0 mode tap
    ip -n far link set tap0 master br1 up
    ip -n far link add to-hop type veth peer name downlink netns hop
    ip -n far link set to-hop master br1 up
    ip -n hop address add 198.51.100.254/24 dev downlink
    ip -n hop link set downlink up
    ip link add to-hop type veth peer name uplink netns hop
    ip link set to-hop master br0 up
    ip -n hop address add 192.0.2.253/24 dev uplink
    ip -n hop link set uplink up
    ip -n hop link set lo up
    ip netns exec hop sysctl -q net.ipv4.ip_forward=1
    ip route add 198.51.100.0/24 via 192.0.2.253
}

scenario_relay() {
    far
    site 'dhcp = "off"' ''
    cat >>"$work/site/policies.d/site.toml" <<'END'

[network.far]
subnet = "198.51.100.0/24"
gateway = "198.51.100.254"
dns = "198.51.100.254"
domain = "far.example"
dhcp = "server"
range = "198.51.100.100-198.51.100.150"
END
    sed -i 's/^address = .*/address = "198.51.100.21"/' "$work/site/policies.d/site.toml"
    serve
    capture
    ip netns exec hop dhcrelay -4 -d -a -pf "$work/relay.pid" -id downlink -iu uplink 192.0.2.1 >"$work/relay.log" 2>&1 &
    pids+=($!)
    await_file "Sending on   Socket/fallback" "$work/relay.log" 10
    in="ip netns exec far" uefi -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n
    await_log "installing" 300
    await_log "i-am-db1-at-198.51.100.21" 30
    log_has "UEFI x64 PXE: offer 198.51.100.21 (reservation), loader snponly.efi"
    # The MAC address of a machine behind a router is not in its packets: its IP address identifies it.
    log_has "tftp .*snponly.efi, .* in "
    log_has "iPXE, UEFI x64: ack 198.51.100.21 (reservation), loader http://192.0.2.1/boot.ipxe"
    log_has "boot .*installer (attempt 1)"
    log_has "document .*preseed.cfg"
    # The replies carry the relay's own option, and every request came through it.
    [ "$(tcpdump -r "$work/wire.pcap" -v "src host 192.0.2.1 and dst host 198.51.100.254 and udp dst port 67" 2>/dev/null |
        grep -c "Agent-Information (82)")" -ge 2 ] || fail "the relay's option is not in the answers"
    [ "$(packets "udp dst port 67 and src host 0.0.0.0")" -eq 0 ] || fail "a request came without the relay"
    ip netns delete far
    ip netns delete hop
}
