//! A client of the steps, on this machine.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use nix::libc;
use socket2::{Domain, Socket, Type};

use super::DEADLINE;

/// The page that the steps serve.
pub const PAGE: &str = "<h1>Hello Node!</h1><p>Hello Cluster!</p>";

/// What the page of every step begins with, be the rest the step's own.
pub const GREETING: &str = "<h1>Hello ";

/// What a client sends that asks for the page and keeps its connection.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

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

impl Display for Page {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Page { status, kind, body } = self;
        let kind = kind.as_deref().unwrap_or("no Content-Type");
        write!(f, "status {status}, {kind}, and {body:?}")
    }
}

/// Why nothing was read or written, in words that may follow "but".
pub(crate) fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("nothing came within {DEADLINE:?}"),
        ErrorKind::UnexpectedEof => "the connection was closed without an answer".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the connection was reset".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// [`why`], where it is a client's error that got no answer.
pub(crate) fn why_no_answer(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => why(error),
        ureq::Error::Timeout(_) => format!("nothing came within {DEADLINE:?}"),
        error => error.to_string(),
    }
}

/// What should have come, or a failure that says in a sentence what came instead.
pub trait OrFail<T> {
    /// Panics where it is an error: with `what` should have been so, "but", and the error.
    fn or_fail(self, what: &str) -> T;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{what}, but {error}"),
        }
    }
}

/// An HTTP client that opens a new connection for each request, for one that is kept alive would
/// always reach the same worker. It asks this machine only, so it takes no proxy, whatever
/// `http_proxy` and its like say. It gives up at the [`DEADLINE`].
pub fn agent() -> ureq::Agent {
    agent_that_keeps(0)
}

/// The same, but it keeps the connection for its next request.
pub fn agent_that_keeps_its_connection() -> ureq::Agent {
    agent_that_keeps(1)
}

fn agent_that_keeps(connections: usize) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(DEADLINE))
        .max_idle_connections(connections)
        .http_status_as_error(false)
        .proxy(None);
    config.build().into()
}

/// Opens a connection that waits for [`DEADLINE`] at most for what it reads. Panics where nobody
/// listens on `port`.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", port))
        .map_err(|error| why(&error))
        .or_fail(&format!("port {port} should take a connection"));
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

/// A whole answer, as it came over a connection that may be kept.
#[derive(Debug)]
pub struct Answer {
    /// The status line and the headers, in small letters.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The HTTP status, such as 200.
    pub fn status(&self) -> Option<u16> {
        let rest = ["http/1.1 ", "http/1.0 "].iter().find_map(|it| self.head.strip_prefix(it))?;
        rest.get(..3)?.parse().ok()
    }

    /// Whether the connection ends with it.
    pub fn is_the_last(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let status = self.head.lines().next().unwrap_or_default();
        write!(f, "{status:?}, and {:?}", self.body)
    }
}

/// Reads one answer, whatever its status, to the last byte that its `Content-Length` promises, or to
/// its last chunk, and no further. The error says what came in place of a whole answer.
pub fn any_answer(client: &mut TcpStream) -> Result<Answer, String> {
    let (mut came, mut part) = (Vec::new(), [0; 512]);
    loop {
        let text = String::from_utf8_lossy(&came);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = format!("{}\r\n", head.to_ascii_lowercase());
            if head.contains("\r\ntransfer-encoding: chunked\r\n")
                && let Some(body) = body_of_chunks(body)
            {
                return Ok(Answer { head, body });
            }
            let length = head.split_once("\r\ncontent-length: ");
            let length = length.and_then(|(_, rest)| rest.split_once("\r\n")?.0.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return if length == Some(body.len()) {
                    Ok(Answer { head, body: body.to_owned() })
                } else {
                    Err(format!("more than an answer came: {text:?}"))
                };
            }
        }
        let end = match client.read(&mut part) {
            Ok(length @ 1..) => {
                came.extend(&part[..length]);
                continue;
            }
            Ok(_) => why(&ErrorKind::UnexpectedEof.into()),
            Err(error) => why(&error),
        };
        return Err(if text.is_empty() {
            end
        } else {
            format!("{end}, after this part of one: {text:?}")
        });
    }
}

/// The body that has come in chunks, as Node's do, RFC 9112, 7.1: none before the last one has.
fn body_of_chunks(chunks: &str) -> Option<String> {
    let (mut body, mut rest) = (String::new(), chunks);
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        let (chunk, after) = (after.get(..length)?, after.get(length..)?.strip_prefix("\r\n")?);
        if length == 0 {
            return after.is_empty().then_some(body);
        }
        body += chunk;
        rest = after;
    }
}

/// Reads one answer as [`any_answer`] does. The error says what came in place of the page.
pub fn answer(client: &mut TcpStream) -> Result<Answer, String> {
    let answer = any_answer(client)?;
    let well = answer.status() == Some(200) && answer.body.starts_with(GREETING);
    if well { Ok(answer) } else { Err(format!("another answer came: {answer}")) }
}
