//! Gateways outside of the subnet, in the formats of all readers.

use crate::support::rendering::{networks, rendering, whole};

#[test]
fn a_gateway_outside_of_the_subnet_is_reached_on_the_link() {
    let parts: [(&str, &str, &[&str]); 4] = [
        (
            "rocky",
            "host",
            &[
                "ip=203.0.113.25::172.31.1.1:255.255.255.255:host:boot0:none rd.route=172.31.1.1/32::boot0",
                "address1=203.0.113.25/32\ngateway=172.31.1.1\ndns=192.0.2.2;\nroute1=172.31.1.1/32\n",
                "gateway=2001:db8:ffff::1\nroute1=2001:db8:ffff::1/128\n",
            ],
        ),
        (
            "rocky",
            "hosted",
            &[
                "route1=198.51.100.126/32\nroute2=10.9.0.0/16,198.51.100.125\nroute2_options=onlink=true\n",
            ],
        ),
        (
            "debian",
            "host",
            &[
                "netcfg/get_netmask=255.255.255.255 netcfg/get_gateway=172.31.1.1",
                "[Route]\nGateway=172.31.1.1\nGatewayOnLink=yes\n\n[Route]\nGateway=2001:db8:ffff::1\nGatewayOnLink=yes\n",
            ],
        ),
        (
            "debian",
            "hosted",
            &[
                // netcfg refuses the gateway with the mask of the subnet.
                "netcfg/get_netmask=255.255.255.255 netcfg/get_gateway=198.51.100.126",
                "Address=198.51.100.26/26",
                "[Route]\nGateway=198.51.100.126\nGatewayOnLink=yes\n",
                "Destination=10.9.0.0/16\nGateway=198.51.100.125\nGatewayOnLink=yes\n",
            ],
        ),
    ];
    for (policy, node, expected) in parts {
        let (rendered, found) = networks(policy).inspect(node);
        let text = whole(&rendered.unwrap_or_else(|| panic!("{node}: {found:?}")));
        for part in expected {
            assert!(
                text.contains(part),
                "{policy}, {node}: no {part} in\n{text}"
            );
        }
    }
    let found = networks("image").inspect("hosted").1;
    let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "NIC 52:54:00:00:10:01: on an image with ifupdown, cloud-init does not set routes through gateways outside of the subnets: 198.51.100.126, 198.51.100.125"
        ]
    );
}

#[test]
fn a_gateway_outside_of_the_subnet_is_an_error_on_esxi() {
    let site = "
[repo.esxi]
path = \"esxi\"
task = \"esxi\"

[node.n1]
mac = \"52:54:00:00:00:01\"
repo = \"esxi\"
address = \"203.0.113.25/32\"
gateway = \"172.31.1.1\"
dns = \"192.0.2.2\"
disk = {}
root-password-hash = \"$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/\"
";
    let found = rendering(site, &[]).inspect("n1").1;
    let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "task `esxi` does not support `gateway`: NIC 52:54:00:00:00:01: the gateway 172.31.1.1 is outside of the subnet"
        ]
    );
}
