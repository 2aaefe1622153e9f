//! The processes of this machine: how the tests start them, and what they see of them.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::limits::limit;

/// Starts `command` as a shell in a terminal does: with the default for every signal, none of them
/// blocked, and no core dump. A test may itself run in the background of a script, or under
/// nohup(1), with signals ignored that a program would inherit. So the program inherits only those
/// `ignored` here.
///
/// What else `command` does before it becomes the program comes first. The error is the one of
/// [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command, ignored: &[Signal]) -> io::Result<Child> {
    let ignored = ignored.to_vec();
    let as_from_a_terminal = move || {
        // All there are, the real-time ones too. Those that cannot be set refuse.
        for number in 1..=64 {
            // SAFETY: SIG_DFL installs no handler.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
        for signal in &ignored {
            // SAFETY: SIG_IGN installs no handler.
            unsafe { libc::signal(*signal as i32, libc::SIG_IGN) };
        }
        SigSet::empty().thread_set_mask()?;
        limit(libc::RLIMIT_CORE, 0)
    };
    // SAFETY: it only calls what is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(as_from_a_terminal) };
    let _turn = turn();
    command.spawn()
}

/// A pipe that no program inherits but the one that is given an end of it.
pub(crate) fn pipe() -> (io::PipeReader, io::PipeWriter) {
    let _turn = turn();
    io::pipe().expect("two descriptors are left")
}

/// macOS makes a pipe first and close-on-exec second: a program that another test starts in between
/// would hold a pipe of this one's for as long as it lives. So tests start programs, and make pipes
/// for them, one at a time.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a tool of the system prints, such as `ps`. Panics where it does not run.
pub(crate) fn output(tool: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = spawn(&mut command, &[]).unwrap_or_else(|error| panic!("{tool}: {error}"));
    let output = child.wait_with_output().expect("its output is ours to read");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One process of this machine, as `ps` would list it.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub pid: Pid,
    pub parent: Pid,
    pub group: Pid,
    /// `Z` for a zombie, `T` for one that is stopped; ps(1) explains the others.
    pub state: char,
}

/// Every process of this machine.
pub fn processes() -> Vec<Process> {
    if cfg!(target_os = "linux") {
        let folders = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        let pids = folders.filter_map(|folder| pid(folder.file_name().to_str()?));
        pids.filter_map(process).collect()
    } else {
        output("ps", &["-axo", COLUMNS]).lines().filter_map(row).collect()
    }
}

/// The process `pid`, if there is one, be it a zombie: out of /proc where there is one (a small
/// Linux has no `ps`; see proc_pid_stat(5) for the fields), else from `ps`.
pub fn process(pid: Pid) -> Option<Process> {
    if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // pid (command) state ppid pgrp …, and a command may hold spaces and parentheses.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        row(&format!("{pid} {} {} {}", fields[1], fields[2], fields[0]))
    } else {
        output("ps", &["-o", COLUMNS, "-p", &pid.to_string()]).lines().find_map(row)
    }
}

const COLUMNS: &str = "pid=,ppid=,pgid=,stat=";

/// A line of [`COLUMNS`].
fn row(line: &str) -> Option<Process> {
    let fields: Vec<_> = line.split_whitespace().collect();
    Some(Process {
        pid: pid(fields.first()?)?,
        parent: pid(fields.get(1)?)?,
        group: pid(fields.get(2)?)?,
        state: fields.get(3)?.chars().next()?,
    })
}

/// The processes of the group that `leader` leads, zombies apart.
pub fn group(leader: Pid) -> Vec<Process> {
    let mut group = processes();
    group.retain(|process| process.group == leader && process.state != 'Z');
    group
}

/// Whether the process `pid` has ended with all of its threads, be it that its parent has not
/// noticed yet.
pub fn is_dead(pid: Pid) -> bool {
    // A zombie still has its id, so kill(2) alone would take it for alive.
    kill(pid, None) == Err(Errno::ESRCH) || states(pid).iter().all(|state| "ZX".contains(*state))
}

/// Whether the process `pid` is stopped with all of its threads, or has ended.
pub fn is_stopped(pid: Pid) -> bool {
    states(pid).iter().all(|state| "TZX".contains(*state))
}

/// The states of the threads of the process `pid`, or where the system lists no threads, its own.
///
/// On Linux a process looks dead as soon as its first thread is, while another may still accept.
fn states(pid: Pid) -> Vec<char> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return process(pid).map(|it| it.state).into_iter().collect();
    };
    let stats = threads.filter_map(|it| fs::read_to_string(it.ok()?.path().join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

/// How a process ended that is a zombie by now, as wait(2) will tell its parent: the last field of
/// proc_pid_stat(5). `None` where it is no zombie (yet).
///
/// On Linux only, where a parent that was stopped leaves its children zombies. On macOS a thread
/// that was stopped inside of wait(2) may still come to its end there, zombie and all.
pub fn zombie_status(pid: Pid) -> Option<WaitStatus> {
    let is_zombie = is_dead(pid) && process(pid)?.state == 'Z';
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|_| is_zombie)?;
    WaitStatus::from_raw(pid, stat.split_whitespace().last()?.parse().ok()?).ok()
}

/// The file descriptors that the process `pid` has open; none where it has ended.
pub fn descriptors(pid: Pid) -> BTreeSet<String> {
    if cfg!(target_os = "linux") {
        let folder = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        folder.filter_map(|descriptor| descriptor.file_name().into_string().ok()).collect()
    } else {
        let listing = output("lsof", &["-a", "-d", "0-9999", "-F", "f", "-p", &pid.to_string()]);
        listing.lines().filter(|line| line.starts_with('f')).map(str::to_owned).collect()
    }
}

/// The sockets that the process `pid` has open, each with a name that no other socket has: out of
/// /proc, proc_pid_fd(5).
#[cfg(target_os = "linux")]
pub fn sockets(pid: Pid) -> BTreeSet<String> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = folder.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let names = targets.filter_map(|target| target.into_os_string().into_string().ok());
    names.filter(|name| name.starts_with("socket:")).collect()
}

/// Whether the process at the other end of this connection over IPv4, on this machine, has read all
/// that came for it: out of /proc, proc_pid_net(5). On other systems nobody can say, and it is `true`.
pub fn is_read(client: &TcpStream) -> bool {
    let Ok(table) = fs::read_to_string("/proc/net/tcp") else { return true };
    let [here, there] = [client.peer_addr(), client.local_addr()].map(|address| {
        let port = address.expect("it is connected").port();
        format!(":{port:04X}")
    });
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let mut row = rows.filter(|row| row[1].ends_with(&here) && row[2].ends_with(&there));
    row.next().is_some_and(|row| row[4].ends_with(":00000000"))
}

/// The process id that `text` is, if it is one.
pub fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}
