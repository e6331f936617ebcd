//! Queries the IP address of the machine's management controller (IPMI 2.0).
//!
//! A controller may take seconds to answer, so it is queried once, in a thread of its own.

use std::{
    ffi::c_long,
    fs::{File, OpenOptions},
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// The device of the kernel's driver.
const DEVICE: &str = "/dev/ipmi0";

/// The timeout of one request in milliseconds.
const TIMEOUT_MS: u16 = 2_000;

/// The channels that may be LAN channels (IPMI 2.0, table 6-1).
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=11;

/// Network function Transport, command Get LAN Configuration Parameters (23.2), parameter IP Address.
const TRANSPORT: u8 = 0x0c;
const GET_LAN: u8 = 0x02;
const ADDRESS: u8 = 3;

/// `IPMICTL_SEND_COMMAND` and `IPMICTL_RECEIVE_MSG_TRUNC` of linux/ipmi.h.
const SEND: libc::c_ulong = request(0b10, size_of::<IpmiRequest>(), 13);
const RECEIVE: libc::c_ulong = request(0b11, size_of::<IpmiReceived>(), 11);

/// The request number of an ioctl of the driver (asm-generic/ioctl.h): direction, size of the argument, number.
const fn request(direction: libc::c_ulong, size: usize, number: libc::c_ulong) -> libc::c_ulong {
    direction << 30 | (size as libc::c_ulong) << 16 | (b'i' as libc::c_ulong) << 8 | number
}

/// `struct ipmi_msg`.
#[repr(C)]
struct IpmiMessage {
    netfn: u8,
    command: u8,
    length: u16,
    data: *mut u8,
}

/// `struct ipmi_req`.
#[repr(C)]
struct IpmiRequest {
    address: *mut IpmiAddress,
    address_length: libc::c_uint,
    id: c_long,
    message: IpmiMessage,
}

/// `struct ipmi_recv`.
#[repr(C)]
struct IpmiReceived {
    kind: libc::c_int,
    address: *mut IpmiAddress,
    address_length: libc::c_uint,
    id: c_long,
    message: IpmiMessage,
}

/// `struct ipmi_system_interface_addr`: this machine's controller.
#[repr(C)]
#[derive(Clone, Copy)]
struct IpmiAddress {
    kind: libc::c_int,
    channel: libc::c_short,
    lun: u8,
    // The driver may return a longer address.
    rest: [u8; 32],
}

const OWN: IpmiAddress = IpmiAddress {
    kind: 0x0c,
    channel: 0x0f,
    lun: 0,
    rest: [0; 32],
};

/// The controller's IP address; `None` without a controller or an address.
pub(in crate::agent) fn address() -> Option<String> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .ok()?;
    for channel in CHANNELS {
        // If it does not answer for one channel, it does not for another.
        let answer = request_lan_parameter(&device, &[channel, ADDRESS, 0, 0]).ok()?;
        if let Some(address) = parse(&answer) {
            return Some(address.to_string());
        }
    }
    None
}

/// Parses an answer: completion code, revision, address. A channel that is not a LAN channel has no address.
fn parse(answer: &[u8]) -> Option<Ipv4Addr> {
    let [0, _, a, b, c, d] = *answer else {
        return None;
    };
    let address = Ipv4Addr::new(a, b, c, d);
    (!address.is_unspecified()).then_some(address)
}

fn request_lan_parameter(device: &File, data: &[u8]) -> io::Result<Vec<u8>> {
    let (mut to, mut data) = (OWN, data.to_vec());
    let mut request = IpmiRequest {
        address: &raw mut to,
        // Without `rest`: the driver expects 8 bytes for this type of address.
        address_length: 8,
        id: 1,
        message: IpmiMessage {
            netfn: TRANSPORT,
            command: GET_LAN,
            length: u16::try_from(data.len()).unwrap_or(0),
            data: data.as_mut_ptr(),
        },
    };
    control(device, SEND, &raw mut request)?;
    let mut waiting = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
    if poll(&mut waiting, PollTimeout::from(TIMEOUT_MS))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let (mut from, mut buffer) = (OWN, [0; 64]);
    let mut received = IpmiReceived {
        kind: 0,
        address: &raw mut from,
        address_length: size_of::<IpmiAddress>() as libc::c_uint,
        id: 0,
        message: IpmiMessage {
            netfn: 0,
            command: 0,
            length: buffer.len() as u16,
            data: buffer.as_mut_ptr(),
        },
    };
    control(device, RECEIVE, &raw mut received)?;
    let length = usize::from(received.message.length).min(buffer.len());
    Ok(buffer[..length].to_vec())
}

#[expect(unsafe_code, reason = "no crate has these requests")]
fn control<T>(device: &File, number: libc::c_ulong, argument: *mut T) -> io::Result<()> {
    // SAFETY: the argument is of the type that the request is defined for, and all that it points to outlives the call.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), number, argument) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_numbers_are_those_of_the_driver() {
        // As defined in linux/ipmi.h on 64-bit machines.
        assert_eq!((SEND, RECEIVE), (0x8028_690d, 0xc030_690b));
    }

    #[test]
    fn an_answer_is_an_address_or_none() {
        let cases: [(&[u8], Option<[u8; 4]>); 5] = [
            (&[0, 0x11, 192, 0, 2, 7], Some([192, 0, 2, 7])),
            (&[0, 0x11, 0, 0, 0, 0], None),
            (&[0xc1], None),
            (&[0xcc, 0x11, 192, 0, 2, 7], None),
            (&[], None),
        ];
        for (answer, expected) in cases {
            assert_eq!(parse(answer), expected.map(Ipv4Addr::from), "{answer:?}");
        }
    }
}
