# OVMF boots over HTTP, without any TFTP.
scenario_uefi_http() {
    site 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"' ''
    serve
    capture
    uefi -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n
    arrives 300
    story <<'END'
seen mac 52:54:00:00:00:01
node declared as db1
dhcp UEFI x64 HTTP: offer 192.0.2.21 (reservation), loader http://192.0.2.1/loader/snponly.efi
dhcp UEFI x64 HTTP: ack 192.0.2.21 (reservation), loader http://192.0.2.1/loader/snponly.efi
http snponly.efi, N in N
dhcp iPXE, UEFI x64: offer 192.0.2.21 (reservation), loader http://192.0.2.1/boot.ipxe
dhcp iPXE, UEFI x64: ack 192.0.2.21 (reservation), loader http://192.0.2.1/boot.ipxe
facts manufacturer QEMU, product Standard PC (Q35 + ICH9, 2009), uuid 00000000-0000-0000-0000-000000000000, firmware efi
bound by its own declaration
attempt 1 opened: task debian from repo debian, revision N
boot ipxe efi: installer (attempt 1)
document preseed.cfg (N)
installing reported by the machine
log info: i-am-db1-at-192.0.2.21
END
    [ "$(packets "udp port 69")" -eq 0 ] || fail "there were TFTP packets"
}
