//! A primary and its workers, started by a test.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::client::{why, why_no_answer};
use super::process::{pipe, spawn};
use super::{
    DEADLINE, GREETING, HTML, OrFail, PATIENCE, Page, Port, Process, Redis, Sentinels, agent,
    group, is_dead, pid, process, processes,
};

/// A primary and its workers, started by a test.
///
/// Dropping it ends them all, and where a test fails, shows what they have printed. A signal goes to
/// nobody else: an id that is free again may be another program's by now.
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
    /// Whether a failure shows the console, as it does unless the test does so itself.
    pub(crate) shows_console: bool,
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
    /// Panics where they do not.
    #[track_caller]
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
        let shared = Redis::shared().map(Redis::url);
        if let Some(url) = shared.or_else(|| Sentinels::shared().map(Sentinels::url))
            && !command.get_envs().any(|(name, _)| name == "REDIS_URL")
        {
            // A busy machine is no reason to say that Redis does not answer.
            command.env("REDIS_URL", url).env("REDIS_MILLISECONDS", "2000");
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
            (None, None) => lines(io::empty()),
        };
        let stderr = child.stderr.take().map_or_else(|| lines(io::empty()), lines);
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
            shows_console: true,
            born: Instant::now(),
            watchdog,
        }
    }

    /// Reads the primary's first line. Panics where it says something else.
    #[track_caller]
    pub fn introduced(&mut self) {
        let expected = format!("마스터 프로세스 아이디: {}", self.primary);
        let first = self.line_of(&format!("the console should begin with `{expected}`"));
        assert!(
            first == expected,
            "the console should begin with `{expected}`, for that is the primary's process id, but \
             it begins with `{first}`"
        );
    }

    /// The next line of the console. Panics where none comes.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.line_of("the console should go on")
    }

    /// [`Cluster::line`], where a failure says `what` should come.
    #[track_caller]
    fn line_of(&mut self, what: &str) -> String {
        match self.receive(DEADLINE) {
            Ok(line) => line,
            Err(_) if self.born.elapsed() >= PATIENCE => {
                panic!("{what}, but this test has taken {PATIENCE:?}, and gives up")
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("{what}, but nothing more comes within {DEADLINE:?}")
            }
            Err(RecvTimeoutError::Disconnected) => match self.try_wait_for_end(DEADLINE) {
                Ok(Ended { status, .. }) => panic!("{what}, but the program ended ({status})"),
                Err(_) => panic!("{what}, but nobody has it open any more"),
            },
        }
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
    #[track_caller]
    pub fn started(&mut self) -> Pid {
        let worker =
            who_started(&self.line_of("a worker should say that it runs, `PID번 워커 실행`"));
        self.workers.push(worker);
        worker
    }

    /// Reads the two lines of one worker's death: who, and the line with code and signal.
    #[track_caller]
    pub fn died(&mut self) -> (Pid, String) {
        let what = "the console should say that a worker ended, `PID번 워커가 종료되었습니다`";
        let line = self.line_of(what);
        let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다").and_then(pid)
        else {
            panic!("{what}, but this line comes: `{line}`");
        };
        self.workers.retain(|other| *other != worker);
        (worker, self.line_of(&format!("the console should say how worker {worker} ended")))
    }

    /// Reads the two lines of a worker's death, the second of which should be `how`.
    #[track_caller]
    pub fn one_dies(&mut self, how: &str) {
        let (dead, instead) = self.died();
        assert!(
            instead == how,
            "a worker should end with `{how}`, but the console says that worker {dead} ended \
             with `{instead}`"
        );
    }

    /// Reads the two lines of the death of `worker`, the second of which should be `how`.
    #[track_caller]
    pub fn dies(&mut self, worker: Pid, how: &str) {
        let (dead, instead) = self.died();
        assert!(
            dead == worker && instead == how,
            "worker {worker} should end with `{how}`, but the console says that worker {dead} \
             ended with `{instead}`"
        );
    }

    /// Reads the console until `count` workers have died and as many have started, in whatever
    /// order. Returns the deaths, each as [`Cluster::died`] does. Panics where the console says
    /// anything else, or a death twice.
    #[track_caller]
    pub fn replaced(&mut self, count: usize) -> BTreeSet<(Pid, String)> {
        self.news(count, count, 0).0
    }

    /// [`Cluster::replaced`], where so many workers start, so many die, and so many `other` lines
    /// come that are neither. Returns the deaths, and those lines.
    #[track_caller]
    pub fn news(
        &mut self,
        starts: usize,
        deaths: usize,
        others: usize,
    ) -> (BTreeSet<(Pid, String)>, Vec<String>) {
        let (mut started, mut died, mut other) = (0, BTreeSet::new(), Vec::new());
        while started < starts || died.len() < deaths || other.len() < others {
            let line = self.line_of("the console should tell of more starts or deaths of workers");
            if let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다").and_then(pid)
            {
                self.workers.retain(|other| *other != worker);
                let how =
                    self.line_of(&format!("the console should say how worker {worker} ended"));
                assert!(died.insert((worker, how)), "the death of {worker} was logged twice");
            } else if let Some(worker) = line.strip_suffix("번 워커 실행").and_then(pid) {
                self.workers.push(worker);
                started += 1;
            } else if other.len() < others {
                other.push(line);
            } else {
                panic!("a worker's start or death should come, but this line comes: `{line}`");
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

    /// What a failure shows: the console so far, be it read by the test or not, and stderr.
    fn report(&mut self) -> String {
        while self.next_line(Duration::ZERO).is_some() {}
        let (stdout, stderr) = (indented(&self.console()), indented(&self.stderr()));
        [("The console", stdout), ("Its stderr", stderr)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(place, text)| format!("{place} by then:\n{text}"))
            .collect()
    }

    /// What has come on stderr so far.
    pub fn stderr(&mut self) -> String {
        self.errors.extend(self.stderr.try_iter());
        self.errors.clone()
    }

    /// Asks for `path`, which begins with `/`, over a new connection, as `curl` would. Any answer
    /// is one, whatever its status; the error says in words why there is none.
    pub fn get(&self, path: &str) -> Result<Page, String> {
        let answer = get_with_cookie(self.port.number, &agent(), path, None);
        answer.map(|(page, _)| page).map_err(|error| why_no_answer(&error))
    }

    /// [`Cluster::get`], or the same by POST with a body. Panics where no answer comes.
    #[track_caller]
    pub fn answer_to(&self, method: &str, path: &str) -> Page {
        let answer = match method {
            "POST" => {
                let url = format!("http://127.0.0.1:{}{path}", self.port.number);
                let answer = agent().post(url).send("a body").and_then(page_of);
                answer.map_err(|error| why_no_answer(&error))
            }
            _ => self.get(path),
        };
        answer.or_fail(&format!("{method} {path} should be answered"))
    }

    /// Checks the whole answer: this status, the page's media type, and this text.
    #[track_caller]
    pub fn assert_answer(&self, method: &str, path: &str, status: u16, body: &str) {
        let expected = Page { status, kind: Some(HTML.to_owned()), body: body.to_owned() };
        let page = self.answer_to(method, path);
        assert!(
            page == expected,
            "{method} {path} should be answered with\n    {expected}\nbut the answer has\n    {page}"
        );
    }

    /// Asks for `path`, and checks that no answer comes.
    #[track_caller]
    pub fn assert_no_answer(&self, path: &str) {
        if let Ok(page) = self.get(path) {
            panic!("GET {path} should get no answer, but the answer has {page}");
        }
    }

    /// Asks for `/` and checks the answer: the status, the media type, and that the text begins as
    /// every step's page does.
    #[track_caller]
    pub fn assert_answers(&self) {
        let page = self.answer_to("GET", "/");
        let Page { status, kind, body } = &page;
        let well = (*status, kind.as_deref()) == (200, Some(HTML)) && body.starts_with(GREETING);
        assert!(
            well,
            "GET / should be answered with status 200, {HTML}, and a page that begins with \
             {GREETING:?}, but the answer has {page}"
        );
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
            let what = if to == self.primary { "the primary" } else { "the worker" };
            match error {
                Errno::ESRCH => panic!("{what} {to} should get {signal}, but it has ended"),
                _ => panic!("{what} {to} should get {signal}, but kill says {error}"),
            }
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
        self.send_to_all(Signal::SIGINT).or_fail("the program should run");
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
            Err(left) => panic!("{left}"),
        }
    }

    /// [`Cluster::wait_for_end`], where the error says who is left.
    pub fn try_wait_for_end(&mut self, limit: Duration) -> Result<Ended, String> {
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
                "the program should end with all of its processes, but {limit:?} later these \
                 are left: {pids:?}"
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
        let report = (thread::panicking() && self.shows_console).then(|| self.report());
        let is_news = self.status.is_none() && is_dead(self.primary);
        if self.status.is_none() {
            let _ = self.send_to_all(Signal::SIGKILL);
            self.reap();
        }
        if let Some(report) = report {
            // A test that waits for the end, or kills the program, speaks of that itself.
            let status = self.status.filter(|it| is_news && it.signal() != Some(libc::SIGKILL));
            let end = status.map_or(String::new(), |it| format!("The program had ended ({it}).\n"));
            eprint!("\n{report}{end}");
        }
    }
}

/// How a cluster ended.
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub stderr: String,
}

/// The program should have ended with this status.
#[track_caller]
pub fn assert_status(status: ExitStatus, code: i32) {
    let well = status.code() == Some(code);
    assert!(well, "the program should end with exit status {code}, but it ended with {status}");
}

/// Nothing should have come, for the reason `why`.
#[track_caller]
pub fn assert_nothing(came: impl IntoIterator<Item = impl AsRef<str>>, why: &str) {
    let came: String = came.into_iter().map(|line| format!("    {}\n", line.as_ref())).collect();
    assert!(came.is_empty(), "{why}, but this came:\n{came}");
}

/// These deaths should have been logged, and no others: see [`Cluster::replaced`].
#[track_caller]
pub fn assert_deaths(came: &BTreeSet<(Pid, String)>, expected: &BTreeSet<(Pid, String)>) {
    let list = |deaths: &BTreeSet<(Pid, String)>| {
        let lines = deaths.iter().map(|(worker, how)| format!("    {worker} with `{how}`\n"));
        lines.collect::<String>()
    };
    assert!(
        came == expected,
        "these workers should end so:\n{}but by the console these ended so:\n{}",
        list(expected),
        list(came)
    );
}

/// The worker that says in this line that it runs. Panics where the line is another.
#[track_caller]
pub fn who_started(line: &str) -> Pid {
    let line = line.trim_end();
    let Some(worker) = line.strip_suffix("번 워커 실행").and_then(pid) else {
        panic!(
            "a worker should say that it runs, `PID번 워커 실행`, but this line comes: `{line}`"
        );
    };
    worker
}

/// What came, on the console or on stderr, should be this.
#[track_caller]
pub fn assert_says(came: &str, expected: &str) {
    says(came, expected, came == expected);
}

/// [`assert_says`], where it is known whether it `is_so`.
#[track_caller]
pub(crate) fn says(came: &str, expected: &str, is_so: bool) {
    let came = if came.is_empty() { "nothing" } else { came };
    assert!(
        is_so,
        "the program should print this:\n{}but it printed this:\n{}",
        indented(expected),
        indented(came)
    );
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// What was read from a console that is the test's own. Panics where that failed, or is its end.
#[track_caller]
pub fn console_says(read: io::Result<usize>, text: &[u8]) -> String {
    let length = read.map_err(|error| why(&error)).or_fail("the console should go on");
    assert!(length > 0, "the console should go on, but the program has closed it");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

/// Asks for `path` at this port by this client, which sends a cookie, `NAME=VALUE`. Returns also the
/// one that it is told to keep.
pub fn get_with_cookie(
    port: u16,
    agent: &ureq::Agent,
    path: &str,
    cookie: Option<&str>,
) -> Result<(Page, Option<String>), ureq::Error> {
    let mut request = agent.get(format!("http://127.0.0.1:{port}{path}"));
    if let Some(cookie) = cookie {
        request = request.header("Cookie", cookie);
    }
    let response = request.call()?;
    let cookie = header(&response, "set-cookie");
    let cookie = cookie.and_then(|it| it.split(';').next().map(str::to_owned));
    Ok((page_of(response)?, cookie))
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn page_of(mut response: Response) -> Result<Page, ureq::Error> {
    let (status, kind) = (response.status().as_u16(), header(&response, "content-type"));
    Ok(Page { status, kind, body: response.body_mut().read_to_string()? })
}

type Response = ureq::http::Response<ureq::Body>;

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
