//! Configures NICs, addresses and routes through the kernel's netlink.

use std::{io, net::Ipv4Addr};

use ipnet::Ipv4Net;
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder, new_connection};
use tokio::runtime::Runtime;

pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Netlink> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let (connection, handle, _messages) = new_connection()?;
        drop(guard);
        runtime.spawn(connection);
        Ok(Netlink { runtime, handle })
    }

    /// Enables a NIC, including reception of all multicast frames: LLDP uses multicast.
    pub(crate) fn up(&self, index: u32) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .up()
            .allmulticast(true)
            .build();
        self.run(async { self.handle.link().set(message).execute().await })
    }

    pub(crate) fn add_address(&self, index: u32, address: Ipv4Net) -> io::Result<()> {
        let (ip, prefix) = (address.addr().into(), address.prefix_len());
        let add = self.handle.address().add(index, ip, prefix).replace();
        self.run(add.execute())
    }

    pub(crate) fn remove_address(&self, index: u32, address: Ipv4Net) -> io::Result<()> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build();
        self.run(self.handle.address().del(message).execute())
    }

    pub(crate) fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .output_interface(index)
            .build();
        self.run(self.handle.route().add(route).replace().execute())
    }

    fn run(&self, change: impl Future<Output = Result<(), rtnetlink::Error>>) -> io::Result<()> {
        self.runtime.block_on(change).map_err(io::Error::other)
    }
}
