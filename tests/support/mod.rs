//! What the tests share: a running cluster whose console is read line by line, and what a person
//! would look at from a second terminal.
//!
//! Every wait in here ends: with what was waited for, or at [`DEADLINE`] with a message that shows
//! the console up to that moment.

// Each test file is a crate of its own and uses its own part of this module.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod promises;
pub mod transcript;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use assert_cmd::cargo::cargo_bin;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long anything may take before a test gives up. Generous: it is only ever used up by a
/// failure, and a busy machine must not cause one.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The page that every step serves.
pub const PAGE: &str = "<h1>Hello Node!</h1><p>Hello Cluster!</p>";

/// The page's media type.
pub const HTML: &str = "text/html;charset=utf-8";

/// The command that runs a step's binary, such as `03_respawn`.
pub fn step(name: &str) -> Command {
    Command::new(cargo_bin(name))
}

/// The command that runs a step's Node twin.
pub fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(root().join(format!("steps/node/{name}.mjs")));
    command
}

/// The folder of the whole project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A port that nobody listens on, reserved among all tests until it is dropped.
///
/// Binding port 0 and letting go of it again would be a race: another test, or any client's own
/// end of a connection, could be given the same port. So this takes a port below the range that
/// Linux (32768) and macOS (49152) hand out by themselves, and holds the UDP port of that number
/// as the sign for other tests that it is taken. The steps use TCP, so it is in nobody's way.
pub struct Port {
    pub number: u16,
    _sign: UdpSocket,
}

impl Port {
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
                return Port { number, _sign: sign };
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT - 1);
    }
}

/// A primary and its workers, started by a test.
///
/// Dropping it ends them all, and waits until they are gone.
pub struct Cluster {
    /// The primary's process id.
    pub primary: Pid,
    /// The workers that said they are running, in the order in which they said so.
    pub workers: Vec<Pid>,
    /// Where the cluster listens.
    pub port: Port,
    child: Child,
    stdout: Receiver<String>,
    stderr: Option<Receiver<String>>,
    console: Vec<String>,
    watchdog: Child,
}

impl Cluster {
    /// Starts `command` with `WORKERS` workers on a port of its own, and waits until the primary
    /// and all of the workers have said that they run.
    ///
    /// Panics, showing the console, where they do not.
    pub fn start(command: Command, workers: usize) -> Cluster {
        let mut command = command;
        command.env("WORKERS", workers.to_string());
        let mut cluster = Cluster::spawn(command);
        let first = cluster.line();
        let primary = first.strip_prefix("마스터 프로세스 아이디: ").and_then(pid);
        assert_eq!(
            primary,
            Some(cluster.primary),
            "the console should begin with `마스터 프로세스 아이디: ` and the primary's process id, \
             {}, but it begins with:\n{first}",
            cluster.primary
        );
        for _ in 0..workers {
            cluster.started();
        }
        cluster
    }

    /// Starts `command` and waits for nothing. It listens on a port of its own, unless the command
    /// says which `PORT`.
    ///
    /// It leads a process group, so that the whole cluster can be ended at once, and runs in a
    /// folder below `target/`, so that a core dump is not left among the sources.
    pub fn spawn(command: Command) -> Cluster {
        Cluster::spawn_with(command, Stdio::piped())
    }

    /// Starts `command` with a console that nobody reads, as in `… | head -1` once head has gone.
    pub fn spawn_unread(command: Command) -> Cluster {
        let (_, writer) = std::io::pipe().expect("a pipe");
        Cluster::spawn_with(command, writer.into())
    }

    /// Starts `command` with `stdout` for its console.
    pub fn spawn_with(mut command: Command, stdout: Stdio) -> Cluster {
        let port = Port::reserve();
        let program = format!("{command:?}");
        if !command.get_envs().any(|(name, _)| name == "PORT") {
            command.env("PORT", port.number.to_string());
        }
        let mut child = command
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        let primary = Pid::from_raw(child.id() as i32);
        let watchdog = watchdog(primary);
        let (sender, stdout) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        let (sender, stderr) = channel();
        let mut errors = child.stderr.take().unwrap();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        let (workers, console) = (Vec::new(), Vec::new());
        let stderr = Some(stderr);
        Cluster { primary, workers, port, child, stdout, stderr, console, watchdog }
    }

    /// The next line of the console. Panics where none comes.
    pub fn line(&mut self) -> String {
        match self.next_line(DEADLINE) {
            Some(line) => line,
            None => {
                panic!("the console should have gone on, but it stops here:\n{}", self.console())
            }
        }
    }

    /// The next line of the console; `None` where none comes `within` that time, or none can come
    /// any more because every process of the cluster has ended.
    pub fn next_line(&mut self, within: Duration) -> Option<String> {
        let line = self.stdout.recv_timeout(within).ok()?;
        self.console.push(line.clone());
        Some(line)
    }

    /// Reads the line with which one more worker says that it runs.
    pub fn started(&mut self) -> Pid {
        let line = self.line();
        let Some(worker) = line.strip_suffix("번 워커 실행").and_then(pid) else {
            panic!(
                "expected a worker's start, `PID번 워커 실행`, but the console goes on:\n{}",
                self.console()
            );
        };
        self.workers.push(worker);
        worker
    }

    /// Reads the two lines of one worker's death: who, and the line with code and signal.
    pub fn died(&mut self) -> (Pid, String) {
        let line = self.line();
        let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다").and_then(pid)
        else {
            panic!(
                "expected a worker's death, `PID번 워커가 종료되었습니다`, but the console goes on:\n{}",
                self.console()
            );
        };
        self.workers.retain(|other| *other != worker);
        (worker, self.line())
    }

    /// All of the console so far.
    pub fn console(&self) -> String {
        self.console.join("\n")
    }

    /// Asks for the page over a new connection, as `curl` would.
    pub fn get(&self) -> Result<Page, ureq::Error> {
        let mut response = agent().get(format!("http://127.0.0.1:{}/", self.port.number)).call()?;
        Ok(Page {
            status: response.status().as_u16(),
            kind: response
                .headers()
                .get("content-type")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            body: response.body_mut().read_to_string()?,
        })
    }

    /// Asks for the page and checks all of it: the status, the media type and the text.
    pub fn assert_answers(&self) {
        let page = self.get().unwrap_or_else(|error| {
            panic!(
                "port {} should have answered: {error}\nthe console:\n{}",
                self.port.number,
                self.console()
            )
        });
        let (status, kind) = (200, Some(HTML.to_owned()));
        assert_eq!(page, Page { status, kind, body: PAGE.to_owned() }, "another page was served");
    }

    /// The processes whose parent is the primary.
    pub fn children(&self) -> Vec<Process> {
        processes().into_iter().filter(|process| process.parent == self.primary).collect()
    }

    /// Waits until every process of the cluster has ended by itself, and no longer than `within`.
    ///
    /// Returns how the primary ended, the lines that were still to come, and all of stderr. Panics
    /// where a process is left: all of them hold stderr, so its end is the end of them all.
    pub fn wait_for_end(&mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut lines = Vec::new();
        while let Some(line) = self.next_line(left()) {
            lines.push(line);
        }
        let stderr = self.stderr.take().expect("a cluster ends once");
        let Ok(stderr) = stderr.recv_timeout(left()) else {
            let leftover: Vec<_> = group(self.primary).iter().map(|it| it.pid.as_raw()).collect();
            let _ = killpg(self.primary, Signal::SIGKILL);
            panic!(
                "{within:?} later no process should be left, but these are: {leftover:?}\n\
                 the console:\n{}",
                self.console()
            );
        };
        let status = self.child.wait().expect("the primary is ours to wait for");
        Ended { status, lines, stderr }
    }

    /// Ends every process of the cluster at once, and returns what it had printed since the last
    /// line that was read.
    pub fn end(&mut self) -> Ended {
        killpg(self.primary, Signal::SIGKILL).expect("the cluster runs");
        self.wait_for_end(DEADLINE)
    }

    /// Runs a command that should fail before it starts anything, and returns all it printed.
    pub fn output(command: Command) -> Output {
        let mut cluster = Cluster::spawn(command);
        let Ended { status, lines, stderr } = cluster.wait_for_end(DEADLINE);
        let stdout = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Output { status, stdout, stderr: stderr.into_bytes() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.stderr.is_some() {
            let _ = killpg(self.primary, Signal::SIGKILL);
        }
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

/// How a cluster ended.
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub stderr: String,
}

/// What a client got.
#[derive(Debug, PartialEq)]
pub struct Page {
    pub status: u16,
    pub kind: Option<String>,
    pub body: String,
}

/// An HTTP client that opens a new connection for each request: one that is kept alive would
/// always reach the same worker.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(DEADLINE))
        .max_idle_connections(0)
        .http_status_as_error(false);
    config.build().into()
}

/// A shell that ends the process group `group` once this test is gone, however it goes. Without
/// it, a Ctrl-C in `cargo test` would leave the clusters behind.
fn watchdog(group: Pid) -> Child {
    Command::new("sh")
        .args(["-c", "read -r _; kill -s KILL -- -$0", &group.to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs")
}

/// Sends `signal` to the process `to`.
pub fn send(signal: Signal, to: Pid) {
    kill(to, signal).unwrap_or_else(|error| panic!("kill -{signal} {to}: {error}"));
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
        return processes().iter().filter(|it| it.pid == pid).map(|it| it.state).collect();
    };
    let stats = threads.filter_map(|it| fs::read_to_string(it.ok()?.path().join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

/// The status with which a zombie waits for its parent, as wait(2) will return it.
pub fn zombie_status(pid: Pid) -> Option<i32> {
    if cfg!(target_os = "linux") {
        // The last field of proc_pid_stat(5).
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()?
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    } else {
        let ps = Command::new("ps").args(["-o", "xstat=", "-p", &pid.to_string()]).output().ok()?;
        i32::from_str_radix(String::from_utf8_lossy(&ps.stdout).trim(), 16).ok()
    }
}

/// Looks again and again until `done`, and panics with `what` should have come true at the
/// deadline. Only for what no event announces.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}, but not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
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

/// The processes of the group `leader` leads, zombies apart.
pub fn group(leader: Pid) -> Vec<Process> {
    processes()
        .into_iter()
        .filter(|process| process.group == leader && process.state != 'Z')
        .collect()
}

/// Every process of this machine: out of /proc where there is one (a small Linux has no `ps`; see
/// proc_pid_stat(5) for the fields), else from `ps`.
pub fn processes() -> Vec<Process> {
    let table: Vec<String> = if cfg!(target_os = "linux") {
        let folders = fs::read_dir("/proc").expect("/proc is mounted");
        let stats =
            folders.filter_map(|folder| fs::read_to_string(folder.ok()?.path().join("stat")).ok());
        // pid (command) state ppid pgrp …, and a command may hold spaces and parentheses.
        let rows = stats.filter_map(|stat| {
            let (pid, rest) = stat.split_once(" (")?;
            let fields: Vec<_> = rest.rsplit_once(") ")?.1.split(' ').collect();
            Some(format!("{pid} {} {} {}", fields[1], fields[2], fields[0]))
        });
        rows.collect()
    } else {
        let ps = Command::new("ps").args(["-axo", "pid=,ppid=,pgid=,stat="]).output();
        let listing = String::from_utf8(ps.expect("ps runs").stdout).expect("ps prints ASCII");
        listing.lines().map(str::to_owned).collect()
    };
    table
        .iter()
        .filter_map(|row| {
            let fields: Vec<_> = row.split_whitespace().collect();
            Some(Process {
                pid: pid(fields.first()?)?,
                parent: pid(fields.get(1)?)?,
                group: pid(fields.get(2)?)?,
                state: fields.get(3)?.chars().next()?,
            })
        })
        .collect()
}

/// The file descriptors that the process `pid` has open.
pub fn descriptors(pid: Pid) -> BTreeSet<String> {
    if cfg!(target_os = "linux") {
        let folder = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
        folder.map(|fd| fd.unwrap().file_name().into_string().unwrap()).collect()
    } else {
        let pid = pid.to_string();
        let lsof =
            Command::new("lsof").args(["-a", "-d", "0-9999", "-F", "f", "-p", &pid]).output();
        let output = lsof.expect("lsof runs");
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        listing.lines().filter(|line| line.starts_with('f')).map(str::to_owned).collect()
    }
}

/// The process id that `text` is, if it is one.
pub fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}
