//! A primary and its workers, started by a test.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::process::{pipe, spawn};
use super::{
    DEADLINE, GREETING, HTML, PATIENCE, Page, Port, Process, Redis, agent, group, is_dead, pid,
    process, processes,
};

/// A primary and its workers, started by a test.
///
/// Dropping it ends them all. A signal goes to nobody else: an id that is free again may be another
/// program's by now.
pub struct Cluster {
    /// The primary's process id.
    pub primary: Pid,
    /// The workers that said they are running, in the order in which they said so.
    pub workers: Vec<Pid>,
    /// Where the cluster listens.
    pub port: Port,
    child: Child,
    /// How the primary ended. From then on its id, and its group's, are no longer ours.
    status: Option<ExitStatus>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    errors: String,
    console: Vec<String>,
    born: Instant,
    watchdog: Child,
}

/// Where a program's stdout goes. Its stderr goes to a pipe of its own, but for [`Console::Shared`].
pub enum Console {
    /// Read line by line.
    Read,
    /// Read line by line, and stderr with it, in the order of a terminal that shows both.
    Shared,
    /// Read by nobody, as in `… | head -1` once head has gone.
    Unread,
    /// The test's own business.
    Own(Stdio),
}

impl Cluster {
    /// Starts `command` with `WORKERS` workers on a port of its own, and waits until the primary
    /// and all of the workers have said that they run.
    ///
    /// Panics, showing the console, where they do not.
    pub fn start(mut command: Command, workers: usize) -> Cluster {
        command.env("WORKERS", workers.to_string());
        let mut cluster = Cluster::spawn(command, Console::Read);
        cluster.introduced();
        for _ in 0..workers {
            cluster.started();
        }
        cluster
    }

    /// Starts `command` and waits for nothing. It listens on a port of its own, unless the command
    /// says something of `PORT`.
    ///
    /// It leads a process group, so that the whole cluster can be ended at once, and a panic of its
    /// shows no backtrace. Panics where `command` cannot be run.
    pub fn spawn(command: Command, console: Console) -> Cluster {
        Cluster::spawn_ignoring(command, console, &[])
    }

    /// [`Cluster::spawn`] where the program inherits that these signals are `ignored`.
    pub fn spawn_ignoring(mut command: Command, console: Console, ignored: &[Signal]) -> Cluster {
        let port = Port::reserve();
        if !command.get_envs().any(|(name, _)| name == "PORT") {
            command.env("PORT", port.number.to_string());
        }
        if !command.get_envs().any(|(name, _)| name == "RUST_BACKTRACE") {
            command.env_remove("RUST_BACKTRACE");
        }
        if let Some(redis) = Redis::shared()
            && !command.get_envs().any(|(name, _)| name == "REDIS_URL")
        {
            // A busy machine is no reason to say that Redis does not answer.
            command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "5000");
        }
        let mut shared = None;
        let (stdout, stderr) = match console {
            Console::Read => (Stdio::piped(), Stdio::piped()),
            Console::Own(stdout) => (stdout, Stdio::piped()),
            Console::Unread => (pipe().1.into(), Stdio::piped()),
            Console::Shared => {
                let (reader, writer) = pipe();
                shared = Some(reader);
                (writer.try_clone().expect("a descriptor").into(), writer.into())
            }
        };
        let program = format!("{command:?}");
        command.process_group(0).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child = spawn(&mut command, ignored)
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        // It holds the other ends of the pipes, which end with the program only once these go.
        drop(command);
        let primary = Pid::from_raw(child.id() as i32);
        let watchdog = watchdog(primary);
        let stdout = match (shared, child.stdout.take()) {
            (Some(both), _) => lines(both),
            (None, Some(stdout)) => lines(stdout),
            (None, None) => lines(std::io::empty()),
        };
        let stderr = child.stderr.take().map_or_else(|| lines(std::io::empty()), lines);
        Cluster {
            primary,
            workers: Vec::new(),
            port,
            child,
            status: None,
            stdout,
            stderr,
            errors: String::new(),
            console: Vec::new(),
            born: Instant::now(),
            watchdog,
        }
    }

    /// Reads the primary's first line. Panics where it says something else.
    pub fn introduced(&mut self) {
        let first = self.line();
        let primary = first.strip_prefix("마스터 프로세스 아이디: ").and_then(pid);
        assert_eq!(
            primary,
            Some(self.primary),
            "the console should begin with `마스터 프로세스 아이디: ` and the primary's process id, \
             {}, but it begins with:\n{first}",
            self.primary
        );
    }

    /// The next line of the console. Panics where none comes.
    pub fn line(&mut self) -> String {
        if let Some(line) = self.next_line(DEADLINE) {
            return line;
        }
        let mut errors = self.stderr();
        if !errors.is_empty() {
            errors.insert_str(0, "\nand this on stderr:\n");
        }
        let console = self.console();
        if self.born.elapsed() < PATIENCE {
            panic!("the console should have gone on, but it stops here:\n{console}{errors}");
        }
        panic!(
            "this test gives up after {PATIENCE:?}: all that has been printed by then is\n\
             {console}{errors}"
        );
    }

    /// The next line of the console; `None` where none comes `within` that time, or none can come
    /// any more because every process of the cluster has ended, or the cluster has been used for
    /// longer than [`PATIENCE`].
    pub fn next_line(&mut self, within: Duration) -> Option<String> {
        self.receive(within).ok()
    }

    fn receive(&mut self, within: Duration) -> Result<String, RecvTimeoutError> {
        let left = PATIENCE.saturating_sub(self.born.elapsed());
        let line = self.stdout.recv_timeout(within.min(left))?;
        let line = line.strip_suffix('\n').unwrap_or(&line).to_owned();
        self.console.push(line.clone());
        Ok(line)
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

    /// Reads the console until `count` workers have died and as many have started, in whatever
    /// order. Returns the deaths, each as [`Cluster::died`] does. Panics where the console says
    /// anything else, or a death twice.
    pub fn replaced(&mut self, count: usize) -> BTreeSet<(Pid, String)> {
        self.news(count, count, 0).0
    }

    /// [`Cluster::replaced`], where so many workers start, so many die, and so many `other` lines
    /// come that are neither. Returns the deaths, and those lines.
    pub fn news(
        &mut self,
        starts: usize,
        deaths: usize,
        others: usize,
    ) -> (BTreeSet<(Pid, String)>, Vec<String>) {
        let (mut started, mut died, mut other) = (0, BTreeSet::new(), Vec::new());
        while started < starts || died.len() < deaths || other.len() < others {
            let line = self.line();
            if let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다") {
                let worker = pid(worker).expect("a process id");
                self.workers.retain(|other| *other != worker);
                let death = (worker, self.line());
                assert!(died.insert(death), "a death was logged twice:\n{}", self.console());
            } else if let Some(worker) = line.strip_suffix("번 워커 실행") {
                self.workers.push(pid(worker).expect("a process id"));
                started += 1;
            } else if other.len() < others {
                other.push(line);
            } else {
                panic!("neither a death nor a start:\n{}", self.console());
            }
        }
        (died, other)
    }

    /// The console so far, or where it is long, the end of it.
    pub fn console(&self) -> String {
        const MOST: usize = 30;
        let left_out = self.console.len().saturating_sub(MOST);
        let end = self.console[left_out..].join("\n");
        if left_out == 0 { end } else { format!("({left_out} lines, and then)\n{end}") }
    }

    /// What has come on stderr so far.
    pub fn stderr(&mut self) -> String {
        self.errors.extend(self.stderr.try_iter());
        self.errors.clone()
    }

    /// Asks for `path`, which begins with `/`, over a new connection, as `curl` would. Any answer
    /// is one, whatever its status; the error is that of a client that got none.
    pub fn get(&self, path: &str) -> Result<Page, ureq::Error> {
        Ok(self.get_with_cookie(&agent(), path, None)?.0)
    }

    /// [`Cluster::get`] by this client, which sends a cookie, `NAME=VALUE`. Returns also the one that
    /// it is told to keep.
    pub fn get_with_cookie(
        &self,
        agent: &ureq::Agent,
        path: &str,
        cookie: Option<&str>,
    ) -> Result<(Page, Option<String>), ureq::Error> {
        let mut request = agent.get(format!("http://127.0.0.1:{}{path}", self.port.number));
        if let Some(cookie) = cookie {
            request = request.header("Cookie", cookie);
        }
        let mut response = request.call()?;
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let cookie = header("set-cookie").and_then(|it| it.split(';').next().map(str::to_owned));
        let page = Page {
            status: response.status().as_u16(),
            kind: header("content-type"),
            body: response.body_mut().read_to_string()?,
        };
        Ok((page, cookie))
    }

    /// Asks for `/` and checks the answer: the status, the media type, and that the text begins as
    /// every step's page does.
    #[track_caller]
    pub fn assert_answers(&self) {
        let page = self.get("/").unwrap_or_else(|error| {
            panic!(
                "port {} should have answered: {error}\nthe console:\n{}",
                self.port.number,
                self.console()
            )
        });
        assert_eq!(
            (page.status, page.kind.as_deref()),
            (200, Some(HTML)),
            "another page: {page:?}"
        );
        assert!(page.body.starts_with(GREETING), "another page was served: {}", page.body);
    }

    /// The processes whose parent is the primary.
    pub fn children(&self) -> Vec<Process> {
        processes().into_iter().filter(|process| process.parent == self.primary).collect()
    }

    /// Whether `pid` is the primary or one of its children, now.
    pub fn has(&self, pid: Pid) -> bool {
        let is_child = || process(pid).is_some_and(|process| process.parent == self.primary);
        self.status.is_none() && (pid == self.primary || is_child())
    }

    /// Sends `signal` to the primary or to a worker. Panics where `to` is neither, or no more.
    #[track_caller]
    pub fn send(&self, signal: Signal, to: Pid) {
        if let Err(error) = self.try_send(signal as i32, to) {
            panic!("kill -{signal} {to}: {error}\nthe console:\n{}", self.console());
        }
    }

    /// Sends the signal of the number `signal`, one without a name maybe, to the primary or to a
    /// worker. The error is ESRCH where `to` is neither, or no more.
    pub fn try_send(&self, signal: i32, to: Pid) -> nix::Result<()> {
        if !self.has(to) {
            return Err(Errno::ESRCH);
        }
        // SAFETY: kill(2) takes any numbers.
        Errno::result(unsafe { libc::kill(to.as_raw(), signal) }).map(drop)
    }

    /// Ctrl-C: the terminal sends SIGINT to every process of its foreground group, termios(3).
    #[track_caller]
    pub fn interrupt(&self) {
        self.send_to_all(Signal::SIGINT).expect("the cluster runs");
    }

    /// Sends `signal` to the primary and to all of its workers, as systemd does where it stops them.
    /// The error is ESRCH where the primary has ended.
    pub fn send_to_all(&self, signal: Signal) -> nix::Result<()> {
        // Until the primary is waited for, its group has its id and no other can.
        if self.status.is_some() { Err(Errno::ESRCH) } else { killpg(self.primary, signal) }
    }

    /// Waits until every process of the cluster has ended by itself.
    ///
    /// Returns how the primary ended, the lines that were still to come, and all of stderr. Panics
    /// where a process is left at the [`DEADLINE`]: all of them hold stdout or stderr, so the end of
    /// both is the end of them all.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> Ended {
        self.wait_for_end_within(DEADLINE)
    }

    /// [`Cluster::wait_for_end`], where all may take `limit` to end.
    #[track_caller]
    pub fn wait_for_end_within(&mut self, limit: Duration) -> Ended {
        match self.try_wait_for_end(limit) {
            Ok(ended) => ended,
            Err(left) => panic!("{left}\nthe console:\n{}", self.console()),
        }
    }

    /// [`Cluster::wait_for_end`], where the error says who is left.
    pub(crate) fn try_wait_for_end(&mut self, limit: Duration) -> Result<Ended, String> {
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut lines = Vec::new();
        let stdout_ended = loop {
            match self.receive(left()) {
                Ok(line) => lines.push(line),
                Err(end) => break end == RecvTimeoutError::Disconnected,
            }
        };
        let stderr_ended = loop {
            match self.stderr.recv_timeout(left()) {
                Ok(line) => self.errors += &line,
                Err(end) => break end == RecvTimeoutError::Disconnected,
            }
        };
        // A process closes its descriptors a moment before it has ended.
        while !is_dead(self.primary) && !left().is_zero() {
            thread::sleep(Duration::from_millis(1));
        }
        if !(stdout_ended && stderr_ended && is_dead(self.primary)) {
            let group = group(self.primary);
            let pids: Vec<_> = group.iter().map(|process| process.pid.as_raw()).collect();
            return Err(format!(
                "{limit:?} later no process should be left, but these are: {pids:?}"
            ));
        }
        Ok(Ended { status: self.reap(), lines, stderr: self.stderr() })
    }

    /// Waits for the primary, which has ended. The watchdog stands down first: with the wait, the
    /// id of the group is free for others.
    fn reap(&mut self) -> ExitStatus {
        if let Some(mut watchdog) = self.watchdog.stdin.take() {
            let _ = watchdog.write_all(b"stand down\n");
        }
        let _ = self.watchdog.wait();
        let status = self.child.wait().expect("the primary is ours to wait for");
        *self.status.insert(status)
    }

    /// Ends every process of the cluster at once, and returns what it had printed since the last
    /// line that was read.
    pub fn end(&mut self) -> Ended {
        let _ = self.send_to_all(Signal::SIGKILL);
        self.wait_for_end()
    }

    /// Runs a command that should fail before it starts anything, and returns all it printed.
    pub fn output(command: Command) -> Output {
        let Ended { status, lines, stderr } = Cluster::spawn(command, Console::Read).wait_for_end();
        let stdout = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Output { status, stdout, stderr: stderr.into_bytes() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.send_to_all(Signal::SIGKILL);
            self.reap();
        }
    }
}

/// How a cluster ended.
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub stderr: String,
}

/// Reads `output` line by line until it ends, each line with its `\n`.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    receiver
}

/// A shell that ends the process group `group` once this test is gone, however it goes, unless a
/// line told it to stand down. Without it, a Ctrl-C in `cargo test` would leave the clusters behind.
pub(crate) fn watchdog(group: Pid) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "read -r _ || kill -s KILL -- -$0", &group.to_string()]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    spawn(&mut command, &[]).expect("sh runs")
}
