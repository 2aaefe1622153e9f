//! A port that no other test uses.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on, reserved among all tests until it is dropped.
///
/// Binding port 0 and letting go of it again would be a race: another test, or any client's own
/// end of a connection, could be given the same port. So this takes a port below the range that
/// Linux (32768) and macOS (49152) hand out by themselves, and holds the UDP port of that number
/// as the sign for other tests that it is taken. The steps use TCP, so it is in nobody's way.
pub struct Port {
    pub number: u16,
    sign: Option<UdpSocket>,
}

impl Port {
    /// Panics where every port from 10000 to 29999 is taken.
    pub fn reserve() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        const FIRST: u16 = 10_000;
        const COUNT: u16 = 20_000;
        let start = (process::id() % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start + step % COUNT) % COUNT;
            let Ok(sign) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            // To try it by listening would hold it for as long as a process that another test is
            // just forking has a copy of the socket.
            if TcpStream::connect((Ipv4Addr::LOCALHOST, number)).is_err() {
                return Port { number, sign: Some(sign) };
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT - 1);
    }

    /// The same port, which stays reserved until both are dropped.
    pub(crate) fn shared(&self) -> Port {
        let sign = self.sign.as_ref().map(|sign| sign.try_clone().expect("a descriptor"));
        Port { number: self.number, sign }
    }

    /// A port of an address that no other test uses, be its number whatever it may.
    pub(crate) fn unreserved(number: u16) -> Port {
        Port { number, sign: None }
    }
}
