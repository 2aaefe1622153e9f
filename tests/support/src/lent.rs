//! What a service manager such as systemd does for a program, without one: it holds the listening
//! socket and lends it, and it is told when the program is ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use socket2::{Domain, Socket, Type};

use super::process::turn;
use super::{Cluster, Console, DEADLINE, Folder, Port};

/// A listening socket that the test holds, and lends to one program after another, or to two at once.
/// As long as it is held, whoever connects is let in by the kernel, and waits where no program runs.
pub struct Lent {
    pub port: Port,
    socket: OwnedFd,
}

impl Lent {
    /// Listens on a port of 127.0.0.1 that no other test uses.
    pub fn listen() -> Lent {
        let port = Port::reserve();
        let address = (Ipv4Addr::LOCALHOST, port.number).into();
        Lent { socket: listen_at(address), port }
    }

    /// Listens at this address, in the network namespace of the thread that asks. Panics where it
    /// cannot: to see that no other test uses the port is the caller's business.
    pub fn at(address: SocketAddr) -> Lent {
        Lent { socket: listen_at(address), port: Port::unreserved(address.port()) }
    }

    /// `command`, which finds this socket at descriptor 3, as systemd lends it: see [`lend`].
    pub fn to(&self, command: Command) -> Command {
        lend(command, &[&self.socket])
    }

    /// [`Cluster::start`], where the cluster listens on this socket. `PORT` is another's number all
    /// the same, unless the command says something of it.
    #[track_caller]
    pub fn start(&self, command: Command, workers: usize) -> Cluster {
        let cluster = Cluster::start(self.to(command), workers);
        self.known_to(cluster)
    }

    /// [`Cluster::spawn`], where the cluster listens on this socket, as in [`Lent::start`].
    pub fn spawn(&self, command: Command, console: Console) -> Cluster {
        let cluster = Cluster::spawn(self.to(command), console);
        self.known_to(cluster)
    }

    /// The socket's name, as [`sockets`](super::sockets) tells it of a process that holds it.
    #[cfg(target_os = "linux")]
    pub fn name(&self) -> String {
        let link = fs::read_link(format!("/proc/self/fd/{}", self.socket.as_raw_fd()));
        link.expect("it is open").to_string_lossy().into_owned()
    }

    fn known_to(&self, mut cluster: Cluster) -> Cluster {
        cluster.port = self.port.shared();
        cluster
    }
}

fn listen_at(address: SocketAddr) -> OwnedFd {
    let _turn = turn();
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // As systemd does, and every server of the steps: the port may still hold what has ended.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        // Linux makes of it what /proc/sys/net/core/somaxconn allows. So does systemd.
        socket.listen(4096)?;
        io::Result::Ok(socket)
    };
    listen().unwrap_or_else(|error| panic!("cannot listen at {address}: {error}")).into()
}

/// `command`, which finds these at its descriptors 3, 4 and so on, and is told so as by systemd:
/// `LISTEN_FDS` is their number, `LISTEN_PID` its own process id, sd_listen_fds(3). Where there are
/// none, its descriptor 3 is closed.
///
/// It is another command, of the same program, arguments, variables and folder: what else is to be
/// set, such as a limit, comes after this.
pub fn lend(command: Command, descriptors: &[&OwnedFd]) -> Command {
    // Only the program itself knows its id. The shell becomes the program, and keeps its own.
    const BECOME: &str = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    const BECOME_WITHOUT: &str = "exec 3<&-; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(if descriptors.is_empty() { BECOME_WITHOUT } else { BECOME });
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.env("LISTEN_FDS", descriptors.len().to_string());
    // Above all numbers that are written to below.
    let above = 10 + descriptors.len() as i32;
    let copy = |descriptor: &&OwnedFd| {
        let copy = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(above)).expect("a descriptor");
        // SAFETY: the kernel has just made it.
        unsafe { OwnedFd::from_raw_fd(copy) }
    };
    let copies: Vec<OwnedFd> = descriptors.iter().map(copy).collect();
    let put = move || {
        for (copy, number) in copies.iter().zip(3..) {
            // SAFETY: dup2(2) takes any numbers.
            if unsafe { libc::dup2(copy.as_raw_fd(), number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: it calls dup2(2) alone, which is async-signal-safe. What it may write over is this
    // library's own pipe to the test, which has no other use now than to end with the exec.
    unsafe { shell.pre_exec(put) };
    shell
}

/// The socket that a program tells of its state, sd_notify(3): in place of systemd, this test reads it.
///
/// Dropping it removes it, and the folder that it is in.
pub struct Notify {
    folder: Folder,
    socket: UnixDatagram,
}

impl Notify {
    pub fn listen() -> Notify {
        let folder = Folder::create();
        let path = folder.path.join("socket");
        let _turn = turn();
        let socket = UnixDatagram::bind(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Notify { folder, socket }
    }

    /// Has `command` tell this socket.
    pub fn ask(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.path());
    }

    /// The path of the socket, the value of `NOTIFY_SOCKET`.
    pub fn path(&self) -> PathBuf {
        self.folder.path.join("socket")
    }

    /// The next message, such as `READY=1`; `None` where none comes `within` that time, which may be
    /// zero.
    pub fn next(&self, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut message = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.socket.set_nonblocking(left.is_zero()).expect("it is a socket");
            if !left.is_zero() {
                self.socket.set_read_timeout(Some(left)).expect("it is no zero");
            }
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    let message = String::from_utf8_lossy(&message[..length]);
                    // systemd-notify(1) waits so until its message before was read.
                    if message.trim_end() != "BARRIER=1" {
                        return Some(message.trim_end().to_owned());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits for the next message, and panics where it is not this one, or none comes.
    #[track_caller]
    pub fn says(&self, expected: &str) {
        match self.next(DEADLINE) {
            Some(message) => assert!(
                message == expected,
                "the program should tell the notify socket `{expected}`, but it tells `{message}`"
            ),
            None => panic!(
                "the program should tell the notify socket `{expected}`, but within {DEADLINE:?} \
                 nothing comes"
            ),
        }
    }
}
