//! Plays the scenes of `book/console/` against the real programs.
//!
//! A scene is what the book shows, to the letter:
//!
//! ```text
//! ──── 1 ────
//! $ WORKERS=2 cargo run --bin 02_exit_log
//! 마스터 프로세스 아이디: 33094
//! 33095번 워커 실행
//! 33096번 워커 실행
//! ──── 2 ────
//! $ kill -KILL 33096
//! ──── 1 ────
//! 33096번 워커가 종료되었습니다
//! code null signal SIGKILL
//! ```
//!
//! A rule with a number says in which terminal the lines below it appear. Terminal 1 starts the
//! program and shows what it prints, stdout and stderr in one; `$` there later means that it has
//! ended, and a scene without that leaves it running. `^C` is the key. The commands of terminal 2
//! are the ones in [`Scene::command`]; they are carried out by this test itself, so that it needs
//! neither curl nor a shell. Terminal 3 is for one `curl localhost:8086` that has to wait: what it
//! prints comes where the scene shows that terminal again. Or it is where a Redis server runs,
//! started by [`REDIS_SERVER`]. A scene with any other command, or option of one, is refused.
//!
//! After `scripts/lend bash` in terminal 1 this test lends the program its listening socket. Then the
//! program may be started again once it has ended. In between `curl` in terminal 2 has to wait, as in
//! terminal 3 else.
//!
//! Terminals 4 and 5 are for a second host and the [`HAPROXY`] before both. The programs start with
//! `PORT=8087` and `PORT=8088` then, and `curl localhost:8080` goes to the HAProxy.
//!
//! What is printed must equal the scene, except that
//!
//! - process ids are compared up to renaming. They are what a start says (`마스터 프로세스 아이디: …`,
//!   `…번 워커 실행`), where those stand in `…번 워커`, in `ps` and after `kill`, and the number of a
//!   thread that panics. Any other number is compared like a letter.
//! - workers that start side by side may do so in any order, those that cannot because another has
//!   the port among them, and any of them may be the one that answers; the renaming covers both.
//! - workers whose deaths stand side by side may have died in any order, and after `kill -HUP` to
//!   the primary the starts and the deaths come in any order. The two lines of a death stay together.
//! - the ids of sessions, 32 hexadecimal digits, are compared up to renaming.
//! - the port is this test's own, as is that of Redis, and the number of an error (`os error 98`) is
//!   the system's own.
//! - the line and the column of a panic may be others, and the number of its thread may be missing,
//!   as it is before Rust 1.91.
//!
//! A Node twin panics in another way: [`as_of_the_twin`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::client::{why, why_no_answer};
use super::{
    Cluster, Console, DEADLINE, Ended, Haproxy, Installed, Lent, OrFail, Process, Redis, Sentinels,
    agent_that_keeps_its_connection, connect, get_with_cookie, is_dead, is_stopped, node,
    processes, root, side_by_side, step, until,
};

/// What starts Redis in terminal 3. This test starts one at a port of its own.
const REDIS_SERVER: &str = "redis-server --bind 127.0.0.1 --save '' --loglevel warning";

/// What starts HAProxy in terminal 5. This test starts one at ports of its own.
const HAPROXY: &str = "haproxy -f steps/haproxy/hosts.cfg";

/// What starts a master, a replica and three sentinels in terminal 3, at ports of their own here. The
/// scene shows what it prints.
const SENTINELS: &str = "scripts/sentinels";

/// The ports of those in a scene.
const PORTS: [u16; 5] = [6380, 6381, 26379, 26380, 26381];

/// Which process id of the scene is which one here.
type Names = BTreeMap<i32, i32>;

/// Whose program a scene runs where it says `cargo run --bin STEP`.
#[derive(Clone, Copy, PartialEq)]
pub enum Program {
    /// The step's own binary.
    Step,
    /// The step's Node twin: the same scene must come out of it.
    NodeTwin,
}

/// Plays every scene `book/console/PREFIX….console` that needs no Node, all of them at once, and
/// panics, showing both consoles side by side, where what happens is not what a scene says.
pub fn play_all(prefix: &str) {
    let what = format!("book/console/{prefix}*.console that needs no Node");
    play_all_that(&what, |name, runs_node| name.starts_with(prefix) && !runs_node);
}

/// Plays every scene that runs a Node twin by that name, `node steps/node/….mjs`. Panics as
/// [`play_all`] does.
pub fn play_all_of_node() {
    play_all_that("book/console/*.console that runs Node", |_, runs_node| runs_node);
}

/// Plays those scenes whose name, and whether they run Node by name, make them `wanted`.
fn play_all_that(what: &str, wanted: impl Fn(&str, bool) -> bool) {
    let folder = fs::read_dir(root().join("book/console")).expect("book/console is there");
    let names = folder.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".console").map(str::to_owned))
        .filter(|name| wanted(name, text_of(name).lines().any(runs_node)))
        .collect();
    assert!(!names.is_empty(), "there is no {what}");
    side_by_side(names, |name| play(&name, Program::Step));
}

/// Plays the scene `book/console/NAME.console` with the step or with its Node twin. Panics as
/// [`play_all`] does.
pub fn play(name: &str, program: Program) {
    let file = format!("book/console/{name}.console");
    play_text(&file, &text_of(name), program, DEADLINE);
}

/// What the scene `book/console/NAME.console` says.
pub fn text_of(name: &str) -> String {
    let path = root().join(format!("book/console/{name}.console"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays the scene `text`, which failures call `name`. `ps` shows what the scene shows `within` that
/// time. Panics as [`play_all`] does.
pub fn play_text(name: &str, text: &str, program: Program, within: Duration) {
    let text = if program == Program::Step { text.to_owned() } else { as_of_the_twin(text) };
    Scene {
        name: name.to_owned(),
        program,
        within,
        cluster: None,
        second: None,
        haproxy: None,
        installed: None,
        lent: None,
        reloads: false,
        waiting: None,
        redis: None,
        sentinels: None,
        jars: BTreeMap::new(),
        sessions: Vec::new(),
        ended: None,
        names: vec![Names::new()],
        told: Vec::new(),
    }
    .play(&text);
}

/// What a scene says of a step, said of its Node twin. A Rust panic shows two or three lines, maybe
/// after an empty one, and ends a worker with code 101:
///
/// ```text
/// thread 'main' (33095) panicked at steps/04_errors.rs:87:31:
/// index out of bounds: the len is 2 but the index is 2
/// note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
/// ```
///
/// Node shows the stack of the error, which nobody compares, and the code is 1 ("Uncaught Fatal
/// Exception" in the Node documentation of `process`, Exit codes).
fn as_of_the_twin(text: &str) -> String {
    let mut told: Vec<&str> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.contains("panicked at ") {
            told.pop_if(|before| before.is_empty());
            lines.next();
            lines.next_if(|line| line.starts_with("note: "));
        } else {
            told.push(if line == "code 101 signal null" { "code 1 signal null" } else { line });
        }
    }
    told.join("\n")
}

struct Scene {
    name: String,
    program: Program,
    /// How long `ps` is asked again.
    within: Duration,
    cluster: Option<Cluster>,
    /// The program of terminal 4.
    second: Option<Cluster>,
    /// The HAProxy before both.
    haproxy: Option<Haproxy>,
    /// Where the program is, in a scene that moves it: `target/debug` is the other scenes' too.
    installed: Option<Installed>,
    /// The listening socket, where the program has none of its own.
    lent: Option<Lent>,
    /// Whether the last command was `kill -HUP` to the primary.
    reloads: bool,
    /// The connection of terminal 3, or of terminal 2 where nobody can answer yet.
    waiting: Option<TcpStream>,
    /// The Redis server of terminal 3, and whether it runs.
    redis: Option<(Redis, bool)>,
    /// The servers that [`SENTINELS`] has started.
    sentinels: Option<Sentinels>,
    /// curl's cookie jars: the cookie in each.
    jars: BTreeMap<String, String>,
    /// The ids of sessions that were seen: the scene's, and the one here.
    sessions: Vec<(String, String)>,
    /// The end of the program, once it has been seen.
    ended: Option<Ended>,
    /// Every way in which the scene's process ids can stand for those here, given all that was
    /// printed so far. Two workers that start together are alike until one of them does something.
    names: Vec<Names>,
    /// Both consoles so far, line by line, and whether the lines are the same.
    told: Vec<(String, String, bool)>,
}

impl Scene {
    fn play(&mut self, text: &str) {
        let mut terminal = "";
        let mut lines = text.lines().peekable();
        if self.program == Program::Step && text.contains("\n$ mv ") {
            let name = text.lines().find_map(|line| line.rsplit_once("--bin ")).map(|it| it.1);
            self.installed = name.map(Installed::new);
        }
        while let Some(line) = lines.next() {
            if line.starts_with("──── ") {
                terminal = ["1", "2", "3", "4", "5"]
                    .into_iter()
                    .find(|number| line == format!("──── {number} ────"))
                    .unwrap_or_else(|| self.refuse("which terminal?", line));
                self.tell(line);
                continue;
            }
            let typed = line.starts_with("$ ") || line == "^C";
            let mut output = if typed { Vec::new() } else { vec![line] };
            let marks = ["$ ", "^C", "──── "];
            while let Some(line) =
                lines.next_if(|next| !marks.iter().any(|mark| next.starts_with(mark)))
            {
                output.push(line);
            }
            if typed {
                self.tell(line);
            }
            match (terminal, line.strip_prefix("$ ")) {
                ("1", None) if line == "^C" => {
                    self.cluster().interrupt();
                    self.end_has_begun();
                    self.expect_console(&output);
                }
                ("1", None) => self.expect_console(&output),
                ("1", Some("echo $?")) => self.expect_status(&output),
                ("1", Some("scripts/lend bash")) if self.cluster.is_none() && output.is_empty() => {
                    self.lent = Some(Lent::listen());
                }
                ("1", Some(command)) => self.start(command, &output),
                ("2", Some("curl localhost:8086")) if output.is_empty() && self.nobody_runs() => {
                    self.ask_and_wait(line);
                }
                ("2", Some(command)) => self.command(command, &output),
                ("2", None) if self.waiting.is_some() => self.expect_answer(line, &output),
                ("3", Some("curl localhost:8086")) if output.is_empty() => self.ask_and_wait(line),
                ("3", Some(REDIS_SERVER)) if output.is_empty() => self.start_redis(line),
                ("3", Some(SENTINELS)) => self.start_sentinels(line, &output),
                ("3", None) => self.expect_answer(line, &output),
                ("4", Some(command)) => self.start_second(command, &output),
                ("5", Some(HAPROXY)) if output.is_empty() => self.start_haproxy(line),
                ("3", _) => {
                    self.refuse("terminal 3 is for a curl that has to wait, or Redis:", line)
                }
                _ => self.refuse("who prints this?", line),
            }
        }
        self.expect_nothing_more();
    }

    /// Stops at a `line` of the scene that cannot be played.
    fn refuse(&self, why: &str, line: &str) -> ! {
        panic!("{}: {why} {line}", self.name)
    }

    /// A line of the scene that is nobody's output.
    fn tell(&mut self, line: &str) {
        self.told.push((line.to_owned(), line.to_owned(), true));
    }

    /// Terminal 1: `[NAME=value …] cargo run [--features FEATURE] --bin STEP` or `… node steps/node/STEP.mjs`; with
    /// `2>/dev/null` behind it, stderr is not shown.
    fn start(&mut self, line: &str, output: &[&str]) {
        if self.cluster.is_some() {
            if self.lent.is_none() {
                self.refuse("terminal 1 is busy:", line);
            }
            self.expect_end();
            self.ended = None;
        }
        self.cluster = Some(self.run(line.strip_prefix("PORT=8087 ").unwrap_or(line), None));
        self.expect_console(output);
    }

    /// Terminal 4: a second host.
    fn start_second(&mut self, line: &str, output: &[&str]) {
        let command = line.strip_prefix("PORT=8088 ");
        let Some(command) = command.filter(|_| self.cluster.is_some() && self.second.is_none())
        else {
            self.refuse("terminal 4 is for a second host, with PORT=8088:", line)
        };
        let mut second = self.run(command, None);
        let printed: Vec<_> = output.iter().map_while(|_| second.next_line(DEADLINE)).collect();
        self.second = Some(second);
        self.compare(output, &printed);
    }

    /// Terminal 5: HAProxy is started before both hosts.
    fn start_haproxy(&mut self, line: &str) {
        let Some(second) = self.second.as_ref().filter(|_| self.haproxy.is_none()) else {
            self.refuse("terminals 1 and 4 have to start the hosts first:", line)
        };
        let hosts = [self.cluster(), second].map(|it| format!("127.0.0.1:{}", it.port.number));
        self.haproxy = Some(Haproxy::start([&hosts[0], &hosts[1]], &[]));
    }

    /// Runs the program that `line` says, on `port` or on one of its own.
    fn run(&self, line: &str, port: Option<u16>) -> Cluster {
        let mut settings = Vec::new();
        let mut words = line.split(' ').peekable();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            if name == "PORT" && value.parse::<u16>().is_ok_and(|port| port != 0) {
                self.refuse("the port is the test's to choose:", line);
            }
            settings.push((name, value));
            words.next();
        }
        let words: Vec<_> = words.collect();
        let (words, console) = match &words[..] {
            [words @ .., "2>/dev/null"] => (words, Console::Read),
            words => (words, Console::Shared),
        };
        // Cargo has built the steps of the features that this test was built with.
        let words = match words {
            ["cargo", "run", "--features", _, rest @ ..] => &[&["cargo", "run"], rest].concat(),
            words => words,
        };
        let (mut command, console) = match (words, self.program) {
            (["cargo", "run", "--bin", name], Program::Step) => {
                let installed = self.installed.as_ref().map(Installed::command);
                (installed.unwrap_or_else(|| step(name)), console)
            }
            (["cargo", "run", "--bin", name], Program::NodeTwin) => (node(name), Console::Read),
            (["node", file], _) => match twin(file) {
                Some(name) => (node(name), console),
                None => self.refuse("which twin?", line),
            },
            _ => self.refuse("cannot run this:", line),
        };
        command.envs(port.map(|port| ("PORT", port.to_string())));
        let redis = self.redis.as_ref().map(|(redis, _)| redis.url());
        // The first sentinel is where a step looks for it that is told nothing.
        let sentinel = self.sentinels.as_ref().map(|all| all.sentinels[0].url());
        if let Some(url) = redis.or(sentinel) {
            // A busy machine is no reason to say that Redis does not answer.
            command.env("REDIS_URL", url).env("REDIS_MILLISECONDS", "2000");
        }
        for (name, value) in settings {
            command.env(name, self.with_ports_here(value));
        }
        let mut cluster = match &self.lent {
            Some(lent) => lent.spawn(command, console),
            None => Cluster::spawn(command, console),
        };
        // The two consoles side by side show it.
        cluster.shows_console = false;
        cluster
    }

    /// Terminal 2.
    ///
    /// - `curl`, see [`Scene::curl`], where `|| echo TEXT` may follow for a failure
    /// - `kill [-SIGNAL] PID …`: TTIN and TTOU only to the primary, which has more or fewer workers
    ///   then. The console shows what comes of HUP to the primary
    /// - `mv target/…/NAME target/…/NAME`, of the program that the scene runs
    /// - `ps -o pid,ppid -p PID,…`: asked again until it shows what the scene shows
    /// - `redis-cli …`, to the Redis server of terminal 3, or with `-p` to one of those that
    ///   `scripts/sentinels` has started
    /// - `until curl …; do sleep …; done`: once more, until it is answered with status 200 where `-f`
    ///   says so
    /// - `sleep N`: for people; this test looks until it sees what it should. Only where the primary
    ///   is ending does it take that long
    /// - a second `cargo run`, which has to end by itself
    fn command(&mut self, line: &str, output: &[&str]) {
        let (command, otherwise) = match line.split_once(" || echo ") {
            Some((command, text)) => (command, Some(text)),
            None => (line, None),
        };
        if let Some((curl, _)) = line
            .strip_prefix("until ")
            .and_then(|it| it.split_once("; do sleep "))
            .filter(|(_, end)| end.ends_with("; done"))
        {
            return self.curl_until_answered(curl, line, output);
        }
        let words = self.words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.reloads = false;
        match words[..] {
            ["curl", ref words @ ..] => {
                let (mut printed, answered) = self.curl(line, words);
                if self.haproxy.is_some() {
                    // Its checks take their turn, too.
                    self.forget_who_is_who();
                }
                printed.extend(otherwise.filter(|_| !answered).map(str::to_owned));
                self.compare(output, &printed);
                if !output.iter().any(|line| names_a_worker(line)) {
                    self.forget_who_is_who();
                }
            }
            _ if otherwise.is_some() => self.refuse("`||` after curl only:", line),
            ["kill", ref words @ ..] => {
                let (signal, pids) = match words.split_first() {
                    Some((word, pids)) if word.starts_with('-') => (&word[1..], pids),
                    _ => ("TERM", words),
                };
                let Ok(signal) = Signal::from_str(&format!("SIG{signal}")) else {
                    self.refuse("no such signal:", line);
                };
                if pids.is_empty() {
                    self.refuse("whom?", line);
                }
                for pid in pids {
                    let pid = self.real_pid(pid, line);
                    match (self.server(pid), signal) {
                        (None, _) => {}
                        (Some(server), Signal::SIGKILL) => {
                            server.kill();
                            continue;
                        }
                        (Some(server), Signal::SIGSTOP) => {
                            server.stop();
                            continue;
                        }
                        (Some(server), Signal::SIGCONT) => {
                            server.go_on();
                            continue;
                        }
                        _ => self.refuse("a server is killed, stopped or goes on:", line),
                    }
                    if !self.cluster().has(pid) {
                        self.refuse("it has ended already:", line);
                    }
                    let is_primary = pid == self.cluster().primary;
                    let scales = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
                    if scales && !is_primary {
                        self.refuse("that would stop it:", line);
                    }
                    self.reloads |= is_primary && signal == Signal::SIGHUP;
                    self.cluster().send(signal, pid);
                    // Whoever types the next command finds it done; this test is faster than that.
                    match signal {
                        Signal::SIGCONT => {}
                        Signal::SIGSTOP => until("it should be stopped", || is_stopped(pid)),
                        // The console shows what comes of it.
                        _ if scales || self.reloads => {}
                        _ if is_primary => self.end_has_begun(),
                        _ => until("a process that was sent a signal should be dead", || {
                            is_dead(pid)
                        }),
                    }
                }
                self.compare(output, &[]);
            }
            ["mv", from, to] => {
                let there = [from, to].map(|path| path.strip_prefix("target/")?.rsplit('/').next());
                let ([Some(from), Some(to)], Some(installed)) = (there, &self.installed) else {
                    self.refuse("cannot move this:", line);
                };
                if let Err(error) = installed.rename(from, to) {
                    self.refuse(&format!("{error}:"), line);
                }
                self.compare(output, &[]);
            }
            ["redis-cli", ref words @ ..] => self.redis_cli(words, line, output),
            ["sleep", seconds] if seconds.parse::<u8>().is_ok() => {
                let (start, seconds) = (Instant::now(), seconds.parse().expect("it was parsed"));
                if refuses(self.cluster().port.number) {
                    // It is ending, and what comes next may be a second signal: too early, and it
                    // would count as the first.
                    until("the sleep should be over", || start.elapsed().as_secs() >= seconds);
                }
                self.compare(output, &[]);
            }
            ["ps", "-o", "pid,ppid", "-p", pids] => self.expect_processes(pids, line, output),
            _ => {
                let mut second = self.run(line, Some(self.cluster().port.number));
                let Ended { lines, .. } = second.wait_for_end();
                self.compare(output, &lines);
            }
        }
    }

    /// Waits until the primary takes in nobody any more: it is dead, or about to end. Where its socket
    /// is lent, nobody is refused.
    fn end_has_begun(&self) {
        let Cluster { primary, port, .. } = self.cluster();
        until("a primary that was sent a signal should be dead, or refuse new connections", || {
            is_dead(*primary) || (self.lent.is_none() && refuses(port.number))
        });
    }

    /// Whether the socket is lent, and the program that had it is dead.
    fn nobody_runs(&self) -> bool {
        let is_over = |cluster: &Cluster| is_dead(cluster.primary);
        self.lent.is_some() && self.cluster.as_ref().is_some_and(is_over)
    }

    /// The words of a command; one in single quotes may hold spaces.
    fn words(&self, command: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (at, part) in command.split('\'').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    /// `curl localhost:8086[/PATH] …`, or 8080 where a HAProxy is, of whose options these are honoured: `-s`, `-o /dev/null`,
    /// `-w TEXT` with `%{http_code}` and `\n` in it, and `-b JAR -c JAR`. Of several addresses the
    /// connection is kept.
    ///
    /// Returns what it prints, and whether it was answered.
    fn curl(&mut self, line: &str, words: &[&str]) -> (Vec<String>, bool) {
        let (mut silent, mut shown, mut format) = (false, true, "");
        let (mut sent_from, mut kept_in, mut paths) = (None, None, Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-s" => silent = true,
                "-o" if words.next() == Some(&"/dev/null") => shown = false,
                "-w" => format = words.next().unwrap_or_else(|| self.refuse("what?", line)),
                "-b" => sent_from = words.next().copied(),
                "-c" => kept_in = words.next().copied(),
                url => {
                    let address =
                        self.haproxy.as_ref().map_or("localhost:8086", |_| "localhost:8080");
                    let rest = url.strip_prefix(address);
                    let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
                    let rest = rest.unwrap_or_else(|| self.refuse("what is this to curl?", line));
                    paths.push(if rest.is_empty() { "/" } else { rest });
                }
            }
        }
        if paths.is_empty() {
            self.refuse("where?", line);
        }
        if !shown && !silent {
            self.refuse("curl would draw a progress bar, without `-s`:", line);
        }
        if sent_from != kept_in {
            self.refuse("curl should read one jar, and write the same:", line);
        }
        let (agent, mut printed, mut answered) =
            (agent_that_keeps_its_connection(), String::new(), false);
        for path in paths {
            let jar = sent_from.and_then(|jar| self.jars.get(jar)).map(String::as_str);
            let port = self.haproxy.as_ref().map_or(&self.cluster().port, |it| &it.front);
            let page = get_with_cookie(port.number, &agent, path, jar);
            let code = page.as_ref().map_or(0, |(page, _)| page.status);
            printed += &match &page {
                Ok((page, _)) if shown => page.body.clone(),
                Err(ureq::Error::Io(error)) if !silent => match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        "curl: (52) Empty reply from server\n".to_owned()
                    }
                    _ => format!("curl: {}\n", why(error)),
                },
                Err(error) if !silent => format!("curl: {}\n", why_no_answer(error)),
                Ok(_) | Err(_) => String::new(),
            };
            printed += &format.replace("%{http_code}", &format!("{code:03}")).replace("\\n", "\n");
            answered = page.is_ok();
            let cookie = page.ok().and_then(|(_, cookie)| cookie);
            self.jars.extend(kept_in.map(str::to_owned).zip(cookie));
        }
        (printed.lines().map(str::to_owned).collect(), answered)
    }

    /// Terminal 3: Redis is started, at the same port where it has been before.
    fn start_redis(&mut self, line: &str) {
        match &mut self.redis {
            Some((_, true)) => self.refuse("terminal 3 is busy:", line),
            Some((redis, runs)) => {
                redis.start_again();
                *runs = true;
            }
            none => *none = Some((Redis::start(), true)),
        }
    }

    /// Terminal 3: a master, a replica and three sentinels are started. The scene shows them as
    /// `scripts/sentinels` does.
    fn start_sentinels(&mut self, line: &str, output: &[&str]) {
        if self.redis.is_some() || self.sentinels.is_some() {
            self.refuse("terminal 3 is busy:", line);
        }
        let all = Sentinels::start();
        all.in_their_own_time();
        let names = ["master   ", "replica  ", "sentinel ", "sentinel ", "sentinel "];
        let row = |(name, redis): (&str, &Redis)| {
            format!("{name}{}, process {}", redis.address(), redis.pid())
        };
        let mut printed: Vec<String> = names.into_iter().zip(all.all()).map(row).collect();
        printed.push("ready".to_owned());
        self.sentinels = Some(all);
        self.compare(output, &printed);
    }

    /// The server with this process id, of those that `scripts/sentinels` has started.
    fn server(&mut self, pid: Pid) -> Option<&mut Redis> {
        let all = self.sentinels.as_mut()?;
        let mut all = all.redis.iter_mut().chain(&mut all.sentinels);
        all.find(|it| it.is_running() && it.pid() == pid)
    }

    /// `text` with the ports that the servers have here.
    fn with_ports_here(&self, text: &str) -> String {
        let Some(all) = &self.sentinels else { return text.to_owned() };
        let port = |token: String| {
            let at = PORTS.iter().position(|it| it.to_string() == token);
            let here = at.and_then(|at| all.all().nth(at));
            here.map_or(token, |redis| redis.port().to_string())
        };
        tokens(text).into_iter().map(port).collect()
    }

    /// `until curl -fs …; do sleep 0.1; done` prints what the last `curl` prints, for `-f` prints nothing
    /// where the status is an error's. What `-w` says it would print each time.
    fn curl_until_answered(&mut self, curl: &str, line: &str, output: &[&str]) {
        let words = self.words(curl);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ["curl", "-fs", ref words @ ..] = words[..] else {
            self.refuse("until what?", line);
        };
        let deadline = Instant::now() + DEADLINE;
        if words.contains(&"-w") {
            self.refuse("it prints more than the page:", line);
        }
        let words = [&["-s", "-w", "%{http_code}"], words].concat();
        loop {
            let (printed, _) = self.curl(line, &words);
            let page = printed.concat();
            if let Some(page) = page.strip_suffix("200") {
                return self.compare(output, &[page.to_owned()]);
            }
            if Instant::now() > deadline {
                return self.compare(output, &printed);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// `redis-cli …`, as it prints in a terminal. `shutdown` ends the server of terminal 3.
    fn redis_cli(&mut self, words: &[&str], line: &str, output: &[&str]) {
        if let ["-p", port, words @ ..] = words {
            let at = PORTS.iter().position(|it| it.to_string() == *port);
            let (Some(all), Some(at)) = (&self.sentinels, at) else {
                self.refuse("terminal 3 has to start it first:", line)
            };
            let words: Vec<String> = words.iter().map(|it| self.with_ports_here(it)).collect();
            let printed = all.all().nth(at).expect("there are five").cli_of_a_terminal(&words);
            return self.compare(output, &printed);
        }
        let Some((redis, true)) = &mut self.redis else {
            self.refuse("terminal 3 has to start Redis first:", line)
        };
        if words == ["shutdown"] {
            redis.shut_down();
            self.redis.as_mut().expect("it has run").1 = false;
            return self.compare(output, &[]);
        }
        let here = |word: &&str| {
            let is_known = |it: &&(String, String)| word.contains(&it.0);
            let known = self.sessions.iter().find(is_known);
            known.map_or(word.to_string(), |(there, here)| word.replace(there, here))
        };
        let words: Vec<String> = words.iter().map(here).collect();
        let printed = redis.cli_of_a_terminal(&words);
        for (there, here) in output.iter().zip(&printed) {
            if let Some((there, here)) = session(there).zip(session(here))
                && !self.sessions.iter().any(|it| it.0 == there || it.1 == here)
            {
                self.sessions.push((there.to_owned(), here.to_owned()));
            }
        }
        self.compare(output, &printed);
    }

    /// Asks for the page, and lets the answer be.
    fn ask_and_wait(&mut self, line: &str) {
        if self.waiting.is_some() {
            self.refuse("its terminal is busy:", line);
        }
        let mut client = connect(self.cluster().port.number);
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").or_fail("the connection should be open");
        self.waiting = Some(client);
    }

    /// What was asked for comes now.
    fn expect_answer(&mut self, line: &str, expected: &[&str]) {
        let Some(mut client) = self.waiting.take() else {
            self.refuse("what prints this in terminal 3?", line);
        };
        let mut answer = String::new();
        let end = client.read_to_string(&mut answer);
        let printed = match answer.split_once("\r\n\r\n") {
            Some((_, page)) => page.to_owned(),
            None => match end {
                Ok(_) => format!("(no answer, but the end of the connection: {answer:?})"),
                Err(error) => format!("(no answer: {})", why(&error)),
            },
        };
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        self.compare(expected, &printed);
        self.forget_who_is_who();
    }

    /// Which worker answers is the kernel's choice, not the scene's: from here on, each of its
    /// living workers may stand for any of those here.
    fn forget_who_is_who(&mut self) {
        let primaries: Vec<Pid> =
            self.cluster.iter().chain(&self.second).map(|cluster| cluster.primary).collect();
        let is_worker = |pid: i32| {
            let pid = Pid::from_raw(pid);
            !primaries.contains(&pid) && !is_dead(pid)
        };
        let mut ways = Vec::new();
        for names in &self.names {
            let (living, rest): (Names, Names) =
                names.iter().partition(|(_, here)| is_worker(**here));
            let here: Vec<i32> = living.values().copied().collect();
            for order in permutations(&here) {
                let mut names = rest.clone();
                names.extend(living.keys().copied().zip(order));
                ways.push(names);
            }
        }
        ways.sort();
        ways.dedup();
        self.names = ways;
    }

    /// The console of terminal 1 goes on with these lines.
    fn expect_console(&mut self, expected: &[&str]) {
        let cluster = self.cluster_mut();
        let printed: Vec<_> = expected.iter().map_while(|_| cluster.next_line(DEADLINE)).collect();
        self.compare(expected, &printed);
        // It is about to end, and a scene has to show that. A reload may fail without that, and so may
        // visits: a worker says why.
        let ends = |line: &&str| {
            let is_a_visit = (self.redis.is_some() && line.starts_with("Error: REDIS_URL="))
                || line.starts_with("Error: mymaster=");
            line.starts_with("Error: ") && !is_a_visit
        };
        if !self.reloads && expected.iter().any(ends) {
            let primary = self.cluster().primary;
            until("a program should end once it has said `Error: …`", || is_dead(primary));
        }
    }

    /// `echo $?` in terminal 1: the program has ended without another line, and this was its exit
    /// status.
    fn expect_status(&mut self, expected: &[&str]) {
        self.expect_end();
        let status = self.ended.as_ref().map(|ended| ended.status).expect("it has ended");
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        self.compare(expected, &[status.to_string()]);
    }

    /// The program has ended, without another line.
    fn expect_end(&mut self) {
        if self.ended.is_none() {
            let ended = self.cluster_mut().try_wait_for_end(DEADLINE);
            let ended = ended.unwrap_or_else(|left| panic!("{left}\n{}", self.side_by_side()));
            self.compare(&[], &ended.lines);
            self.ended = Some(ended);
        }
    }

    /// `ps`: the processes named, and their parents, by process id.
    fn expect_processes(&mut self, pids: &str, line: &str, expected: &[&str]) {
        let wanted: Vec<i32> = pids.split(',').filter_map(|pid| pid.parse().ok()).collect();
        let known = |pid: &i32| self.names.iter().all(|names| names.contains_key(pid));
        if wanted.len() != pids.split(',').count() || !wanted.iter().all(known) {
            self.refuse("whose ids are these?", line);
        }
        let expected: Vec<String> = expected
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let ids: Vec<i32> =
            expected.iter().filter_map(|row| row.split_once(' ')?.0.parse().ok()).collect();
        if !ids.is_sorted() {
            self.refuse("`ps` lists by process id:", line);
        }
        let deadline = Instant::now() + self.within;
        loop {
            // Where it is still open which is which, all that a name can stand for is looked up.
            let here: Vec<&i32> = self
                .names
                .iter()
                .flat_map(|names| wanted.iter().filter_map(|pid| names.get(pid)))
                .collect();
            let mut table: Vec<Process> = processes();
            table.retain(|process| here.contains(&&process.pid.as_raw()));
            table.sort_by_key(|process| process.pid);
            let mut printed = vec!["PID PPID".to_owned()];
            printed.extend(table.iter().map(|row| format!("{} {}", row.pid, row.parent)));
            if !self.matches(&expected, &printed).is_empty() || Instant::now() > deadline {
                return self.compare(&expected, &printed);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// After the last line of the scene the console says nothing more.
    fn expect_nothing_more(&mut self) {
        if self.waiting.is_some() {
            self.refuse("it should show what comes of it:", "curl in terminal 3");
        }
        if let Some(mut second) = self.second.take() {
            let lines = second.end().lines;
            self.compare(&[], &lines);
        }
        if self.ended.is_some() {
            return;
        }
        let cluster = self.cluster_mut();
        let goes_on = !is_dead(cluster.primary);
        let lines = cluster.end().lines;
        self.compare(&[], &lines);
        if !goes_on {
            self.refuse("it leaves the program running, but that has ended:", "no `$ echo $?`");
        }
    }

    /// Reconciles what was `printed` with what the scene shows, or panics.
    fn compare(&mut self, expected: &[&str], printed: &[String]) {
        let names = self.matches(expected, printed);
        if names.is_empty() {
            self.tell_difference(expected, printed);
            panic!("{}", self.side_by_side());
        }
        for line in expected {
            self.tell(line);
        }
        self.names = names;
    }

    /// Adds both sides to what is told, named so that as many lines as can be are the same.
    fn tell_difference(&mut self, expected: &[&str], printed: &[String]) {
        let rows = expected.len().max(printed.len());
        let mut best: Vec<(String, String, bool)> = Vec::new();
        let count = |rows: &[(String, String, bool)]| rows.iter().filter(|row| row.2).count();
        for names in &self.names {
            let mut names = names.clone();
            let mut told = Vec::new();
            for row in 0..rows {
                let (left, right) = (expected.get(row), printed.get(row));
                let named =
                    left.zip(right).and_then(|(left, right)| self.unify(&names, left, right));
                let same = named.is_some();
                names = named.unwrap_or(names);
                let right = right.map(|line| self.as_in_scene(line, &names)).unwrap_or_default();
                told.push((left.copied().unwrap_or_default().to_owned(), right, same));
            }
            if best.is_empty() || count(&told) > count(&best) {
                best = told;
            }
        }
        self.told.extend(best);
    }

    /// Every way to name the processes that makes `printed` the lines `expected`.
    fn matches(&self, expected: &[&str], printed: &[String]) -> Vec<Names> {
        if expected.len() != printed.len() {
            return Vec::new();
        }
        let mut ways = self.names.clone();
        let mut row = 0;
        while row < expected.len() {
            // Workers that start or die side by side print in any order: any of them is any other.
            // And `ps` sorts by ids, which are others here.
            let lines = &expected[row..];
            let starts = lines.iter().take_while(|line| is_start(line) || is_row(line)).count();
            let deaths = lines.chunks_exact(2).take_while(|lines| is_death(lines[0])).count();
            let both = events(lines)
                .into_iter()
                .take_while(|lines| is_start(lines[0]) || (is_death(lines[0]) && lines.len() == 2));
            let rows = if self.reloads { both.map(<[_]>::len).sum() } else { starts + 2 * deaths };
            let rows = rows.max(1);
            let (lines, printed) = (events(&lines[..rows]), events(&printed[row..row + rows]));
            ways = ways
                .iter()
                .flat_map(|names| self.unify_any_order(names, &lines, &printed))
                .collect();
            ways.sort();
            ways.dedup();
            row += rows;
        }
        ways
    }

    /// Every way to name the processes that makes the events `printed` those `expected`, in some
    /// order.
    fn unify_any_order(
        &self,
        names: &Names,
        expected: &[&[&str]],
        printed: &[&[String]],
    ) -> Vec<Names> {
        let Some((first, rest)) = expected.split_first() else { return vec![names.clone()] };
        let mut ways = Vec::new();
        for (at, lines) in printed.iter().enumerate().filter(|(_, it)| it.len() == first.len()) {
            let mut pairs = first.iter().zip(*lines);
            let named = pairs
                .try_fold(names.clone(), |names, (left, right)| self.unify(&names, left, right));
            if let Some(names) = named {
                let others = [&printed[..at], &printed[at + 1..]].concat();
                ways.extend(self.unify_any_order(&names, rest, &others));
            }
        }
        ways
    }

    /// Names the process ids in `expected` so that it equals `printed`, if that can be.
    fn unify(&self, names: &Names, expected: &str, printed: &str) -> Option<Names> {
        let mut names = names.clone();
        let (mut left, mut right) = (parts(expected), parts(&self.as_here(printed)));
        let has_thread = |parts: &[Part]| parts.iter().any(|part| matches!(part, Part::Thread(_)));
        // On Linux alone this number is out of the same row as those of the processes.
        if !cfg!(target_os = "linux") || has_thread(&left) != has_thread(&right) {
            (left, right) = (without_thread(left), without_thread(right));
        }
        if left.len() != right.len() {
            return None;
        }
        for (left, right) in left.iter().zip(&right) {
            let (there, here, is_new) = match (left, right) {
                (Part::Text(left), Part::Text(right)) if left == right => continue,
                (Part::Started(there), Part::Started(here)) => (there, here, true),
                (Part::Thread(there), Part::Thread(here)) => (there, here, true),
                // A successor may die before it can say that it runs.
                (Part::Known(there), Part::Known(here)) => {
                    (there, here, self.reloads && is_death(expected))
                }
                // The parent in `ps` may be a stranger, whose number is to the letter then.
                (Part::Listed(there), Part::Listed(here)) if !names.contains_key(there) => {
                    if there == here && !names.values().any(|known| known == here) {
                        continue;
                    }
                    return None;
                }
                (Part::Listed(there), Part::Listed(here)) => (there, here, false),
                _ => return None,
            };
            match names.get(there) {
                Some(known) if known == here => {}
                None if is_new && !names.values().any(|known| known == here) => {
                    names.insert(*there, *here);
                }
                _ => return None,
            }
        }
        Some(names)
    }

    /// What differs from machine to machine, as the scene has it.
    fn as_here(&self, line: &str) -> String {
        let port = self.cluster.as_ref().map(|cluster| cluster.port.number).unwrap_or_default();
        let line = line.replace(&format!("PORT={port}:"), "PORT=8086:");
        let line = line.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:8086");
        let redis = self.redis.as_ref().map(|(redis, _)| redis.address());
        let line = redis.map_or(line.clone(), |redis| line.replace(&redis, "127.0.0.1:6379"));
        let servers = self.sentinels.iter().flat_map(Sentinels::all).zip(PORTS);
        let line = servers.fold(line, |line, (redis, there)| {
            let here = redis.port();
            line.replace(&redis.address(), &format!("127.0.0.1:{there}"))
                .replace(&format!("\"{here}\""), &format!("\"{there}\""))
        });
        let there = |line: String, (there, here): &(String, String)| line.replace(here, there);
        let line = self.sessions.iter().fold(line, there);
        // EADDRINUSE and ECONNREFUSED, errno(3) of each system.
        let macos = [("(os error 48)", "(os error 98)"), ("(os error 61)", "(os error 111)")];
        let of_linux = |line: String, (macos, linux): (&str, &str)| line.replace(macos, linux);
        if cfg!(target_os = "macos") { macos.into_iter().fold(line, of_linux) } else { line }
    }

    /// A line that was printed, with the scene's process ids where they are known.
    fn as_in_scene(&self, line: &str, names: &Names) -> String {
        let there = |token: String| {
            let here = token.parse::<i32>().ok();
            let known = here.and_then(|here| names.iter().find(|(_, known)| **known == here));
            known.map_or(token, |(there, _)| there.to_string())
        };
        tokens(&self.as_here(line)).into_iter().map(there).collect()
    }

    /// The process that the scene calls `pid`. Where it could still be one of several, it is one
    /// of them from now on.
    fn real_pid(&mut self, pid: &str, line: &str) -> Pid {
        let known = |there: &i32| self.names.first().and_then(|names| names.get(there)).copied();
        let Some((there, here)) = pid.parse().ok().and_then(|there| Some((there, known(&there)?)))
        else {
            self.refuse("whose id is this?", line);
        };
        self.names.retain(|names| names.get(&there) == Some(&here));
        Pid::from_raw(here)
    }

    fn cluster(&self) -> &Cluster {
        let nobody = || self.refuse("terminal 1 has to start", "a program first");
        self.cluster.as_ref().unwrap_or_else(nobody)
    }

    fn cluster_mut(&mut self) -> &mut Cluster {
        self.cluster();
        self.cluster.as_mut().expect("it is there")
    }

    /// Both consoles. The heading has the mark of the lines that differ, so that a search for `≠`
    /// finds it with them.
    fn side_by_side(&self) -> String {
        let width = self.told.iter().map(|(left, ..)| columns(left)).max().unwrap_or(0);
        let width = width.max(columns(THE_BOOK));
        let pad = |text: &str| " ".repeat(width - columns(text));
        let name = &self.name;
        let mut text =
            format!("\n≠ marks where this run, on the right, is not {name}, on the left:\n\n");
        text += &format!("  {THE_BOOK}{} │ this run\n", pad(THE_BOOK));
        for (left, right, same) in &self.told {
            let mark = if *same { ' ' } else { '≠' };
            text += format!("{mark} {left}{} │ {right}", pad(left)).trim_end();
            text.push('\n');
        }
        text
    }
}

const THE_BOOK: &str = "the book";

/// Every order of `items`.
fn permutations(items: &[i32]) -> Vec<Vec<i32>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut orders = Vec::new();
    for (at, first) in items.iter().enumerate() {
        let rest = [&items[..at], &items[at + 1..]].concat();
        orders.extend(permutations(&rest).into_iter().map(|order| [vec![*first], order].concat()));
    }
    orders
}

/// Whether it is the line of a worker that starts, or of one that cannot because another has the
/// port.
fn is_start(line: &str) -> bool {
    line.ends_with("번 워커 실행") || line.starts_with("listen EADDRINUSE: ")
}

/// Whether it is a page that says which worker answered.
fn names_a_worker(line: &str) -> bool {
    line.contains("번 워커, ")
}

/// The id of a session in `line`, 32 hexadecimal digits, where there is one.
fn session(line: &str) -> Option<&str> {
    let words = line.split(|letter: char| !letter.is_ascii_hexdigit());
    words.into_iter().find(|word| word.len() == 32)
}

/// Whether it is the first of the two lines of a worker's death.
fn is_death(line: &str) -> bool {
    line.ends_with("번 워커가 종료되었습니다")
}

/// Splits lines so that the two of a death stay together.
fn events<T: AsRef<str>>(mut lines: &[T]) -> Vec<&[T]> {
    let mut events = Vec::new();
    while let Some(first) = lines.first() {
        let (event, rest) = lines.split_at(lines.len().min(1 + is_death(first.as_ref()) as usize));
        events.push(event);
        lines = rest;
    }
    events
}

/// Whether it is a command that runs a Node twin by name.
fn runs_node(line: &str) -> bool {
    line.starts_with("$ ") && line.split(' ').any(|word| word == "node")
}

/// The step whose twin `file` is.
fn twin(file: &str) -> Option<&str> {
    file.strip_prefix("steps/node/")?.strip_suffix(".mjs").filter(|name| !name.contains('/'))
}

/// Whether it is a line that `ps` lists a process with: two numbers.
fn is_row(line: &str) -> bool {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    line.split(' ').count() == 2 && line.split(' ').all(|word| !word.is_empty() && is_number(word))
}

/// What a line is made of.
enum Part {
    /// To be compared to the letter.
    Text(String),
    /// The id of a process that says here that it runs.
    Started(i32),
    /// The id of a process that was to start before.
    Known(i32),
    /// An id in the list of `ps`.
    Listed(i32),
    /// The number of a thread that panics. Of a process's first thread, it is the process's on
    /// Linux: gettid(2).
    Thread(i32),
}

/// Splits a line between its process ids and the rest, and drops where a panic is: the line and the
/// column change with every edit.
fn parts(line: &str) -> Vec<Part> {
    let line = match line.split_once("panicked at ").and_then(|(before, place)| {
        let numbers = |letter: char| letter == ':' || letter.is_ascii_digit();
        place.ends_with(':').then(|| (before, place.trim_end_matches(numbers)))
    }) {
        Some((before, file)) => format!("{before}panicked at {file}"),
        None => line.to_owned(),
    };
    let tokens = tokens(&line);
    let mut parts: Vec<Part> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let (before, after) = (tokens[..at].concat(), tokens[at + 1..].concat());
        let is_thread = before.starts_with("thread '") && before.ends_with("' (");
        let part = match token.parse::<i32>() {
            Ok(pid) if before == "마스터 프로세스 아이디: " && after.is_empty() => {
                Part::Started(pid)
            }
            Ok(pid) if before.is_empty() && after == "번 워커 실행" => Part::Started(pid),
            Ok(pid) if before.ends_with(", process ") && after.is_empty() => Part::Started(pid),
            Ok(pid) if after.starts_with("번 워커") => Part::Known(pid),
            Ok(pid) if is_thread && after.starts_with(") panicked at ") => Part::Thread(pid),
            Ok(pid) if is_row(&line) => Part::Listed(pid),
            _ => Part::Text(token.clone()),
        };
        match (parts.last_mut(), part) {
            (Some(Part::Text(text)), Part::Text(more)) => *text += &more,
            (_, part) => parts.push(part),
        }
    }
    parts
}

/// A panic's line as it is without the number of the thread.
fn without_thread(mut parts: Vec<Part>) -> Vec<Part> {
    if let [Part::Text(thread), Part::Thread(_), Part::Text(place)] = &parts[..] {
        let text = format!("{}{}", thread.trim_end_matches(" ("), place.trim_start_matches(')'));
        parts = vec![Part::Text(text)];
    }
    parts
}

/// Splits a line between numbers and the rest.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for letter in line.chars() {
        match tokens.last_mut() {
            Some(token)
                if token
                    .ends_with(|last: char| last.is_ascii_digit() == letter.is_ascii_digit()) =>
            {
                token.push(letter);
            }
            _ => tokens.push(letter.to_string()),
        }
    }
    tokens
}

/// How many cells of a terminal `text` takes: a Hangul syllable takes two.
fn columns(text: &str) -> usize {
    text.chars().map(|letter| if ('가'..='힣').contains(&letter) { 2 } else { 1 }).sum()
}

/// Whether nobody listens at this port.
fn refuses(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}
