//! A client of the steps, on this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use nix::libc;
use socket2::{Domain, Socket, Type};

use super::DEADLINE;

/// The page that the steps serve.
pub const PAGE: &str = "<h1>Hello Node!</h1><p>Hello Cluster!</p>";

/// The page's media type.
pub const HTML: &str = "text/html;charset=utf-8";

/// What a client got.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The HTTP status, such as 200.
    pub status: u16,
    /// The header `Content-Type`, where there is one.
    pub kind: Option<String>,
    pub body: String,
}

/// An HTTP client that opens a new connection for each request, for one that is kept alive would
/// always reach the same worker. It asks this machine only, so it takes no proxy, whatever
/// `http_proxy` and its like say. It gives up at the [`DEADLINE`].
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(DEADLINE))
        .max_idle_connections(0)
        .http_status_as_error(false)
        .proxy(None);
    config.build().into()
}

/// Opens a connection that waits for [`DEADLINE`] at most for what it reads. Panics where nobody
/// listens on `port`.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", port))
        .unwrap_or_else(|error| panic!("port {port} should take a connection: {error}"));
    client.set_read_timeout(Some(DEADLINE)).expect("it is no zero");
    client
}

/// Begins to open a connection, and does not wait until it stands: where the queue of those that
/// wait to be accepted is full, the system goes on trying. What it reads and writes does not wait.
pub fn begin_to_connect(port: u16) -> TcpStream {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    client.set_nonblocking(true).expect("it is a socket");
    // EINPROGRESS, connect(2).
    let _ = client.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into());
    client.into()
}

/// Closes a connection by a reset (RST), as a client does that crashes: `SO_LINGER` of zero
/// seconds, socket(7).
pub fn reset(client: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the descriptor is open, and `linger` is what this option takes, of that size.
    let set = unsafe {
        let (socket, linger) = (client.as_raw_fd(), (&raw const linger).cast());
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, linger, size)
    };
    assert_eq!(set, 0, "setsockopt: {}", std::io::Error::last_os_error());
}
