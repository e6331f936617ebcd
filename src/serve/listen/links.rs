//! The interfaces that the DHCP listeners answer on.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::net::{
    dhcp::{FrameSender, UdpRoute},
    interfaces::{self, Interface},
};
use crate::serve::engine::Engine;

/// The interfaces, and a sender of frames.
pub(crate) struct Links {
    known: Mutex<Vec<Arc<Interface>>>,
    frames: Mutex<FrameSender>,
}

impl Links {
    pub(crate) fn new(engine: &Engine) -> Links {
        let links = Links {
            known: Mutex::default(),
            frames: Mutex::default(),
        };
        links.refresh(engine);
        links
    }

    /// Lists the interfaces again.
    pub(crate) fn refresh(&self, engine: &Engine) {
        let all = match interfaces::interfaces() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("cannot list the network interfaces: {error}");
                return;
            }
        };
        let chosen = engine.started_with.dhcp.interfaces.as_ref();
        let is_chosen = |link: &Interface| {
            let Some(list) = chosen else {
                return true;
            };
            list.values().any(|text| link.matches(text))
        };
        *lock(&self.known) = all.into_iter().filter(is_chosen).map(Arc::new).collect();
    }

    /// Returns the interface with this index.
    pub(crate) fn at(&self, index: u32) -> Option<Arc<Interface>> {
        let known = lock(&self.known);
        known.iter().find(|link| link.index == index).cloned()
    }

    /// Sends a datagram in an Ethernet frame to one MAC.
    pub(crate) fn send(&self, on: &Interface, way: &UdpRoute, bytes: &[u8]) -> io::Result<()> {
        lock(&self.frames).send(on, way, bytes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
