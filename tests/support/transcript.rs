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
//! program and shows its console; `$` there later means that it has ended. `^C` is the key. The
//! commands of terminal 2 are the ones in [`Scene::command`]; they are carried out by this test
//! itself, so that it needs neither curl nor a shell.
//!
//! What is printed must equal the scene, except that process ids are compared up to renaming, that
//! workers which start side by side may do so in any order and any of them may be the one that
//! answers (both of which the renaming covers), that the port is this test's own, and that the
//! number of an error (`os error 98`) is the system's own.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Cluster, DEADLINE, Ended, Process, is_dead, node, processes, root, send, step, until};

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

/// Plays every scene `book/console/PREFIX….console`, all of them at once, and panics, showing both
/// consoles side by side, where what happens is not what a scene says.
pub fn play_all(prefix: &str) {
    let folder = fs::read_dir(root().join("book/console")).expect("book/console is there");
    let names = folder.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names
        .filter(|name| name.starts_with(prefix))
        .filter_map(|name| name.strip_suffix(".console").map(str::to_owned))
        .collect();
    assert!(!names.is_empty(), "no scene book/console/{prefix}*.console");
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| play(name, Program::Step));
        }
    });
}

/// Plays the scene `book/console/NAME.console` with the step or with its Node twin.
pub fn play(name: &str, program: Program) {
    Scene::new(name, program).play();
}

struct Scene {
    name: String,
    program: Program,
    cluster: Option<Cluster>,
    /// The end of the program, once it has been seen.
    ended: Option<Ended>,
    /// Every way in which the scene's process ids can stand for those here, given all that was
    /// printed so far. Two workers that start together are alike until one of them does something.
    names: Vec<Names>,
    /// Both consoles so far, line by line, and whether the lines are the same.
    told: Vec<(String, String, bool)>,
}

impl Scene {
    fn new(name: &str, program: Program) -> Scene {
        let names = vec![Names::new()];
        let (name, cluster, ended, told) = (name.to_owned(), None, None, Vec::new());
        Scene { name, program, cluster, ended, names, told }
    }

    fn play(&mut self) {
        let path = root().join(format!("book/console/{}.console", self.name));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut terminal = 0;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(rule) = line.strip_prefix("──── ") {
                terminal = rule.trim_end_matches(" ────").parse().unwrap_or(0);
                assert!([1, 2].contains(&terminal), "{}: which terminal? {line}", self.name);
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
                (1, None) if line == "^C" => self.interrupt(),
                (1, None) => self.expect_console(&output),
                (1, Some("echo $?")) => self.expect_status(&output),
                (1, Some(command)) => self.start(command, &output),
                (2, Some(command)) => self.command(command, &output),
                _ => panic!("{}: who prints this? {line}", self.name),
            }
        }
        self.expect_nothing_more();
    }

    /// A line of the scene that is nobody's output.
    fn tell(&mut self, line: &str) {
        self.told.push((line.to_owned(), line.to_owned(), true));
    }

    /// Terminal 1: `[NAME=value …] cargo run --bin STEP`.
    fn start(&mut self, line: &str, output: &[&str]) {
        assert!(self.cluster.is_none(), "{}: terminal 1 is busy: {line}", self.name);
        self.cluster = Some(Cluster::spawn(self.parse_run(line)));
        self.expect_console(output);
    }

    fn parse_run(&self, line: &str) -> Command {
        let mut settings = Vec::new();
        let mut words = line.split(' ').peekable();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            settings.push((name, value));
            words.next();
        }
        let mut command = match (words.collect::<Vec<_>>().as_slice(), self.program) {
            (["cargo", "run", "--bin", name], Program::Step) => step(name),
            (["cargo", "run", "--bin", name], Program::NodeTwin) => node(name),
            _ => panic!("{}: cannot run this: {line}", self.name),
        };
        command.envs(settings);
        command
    }

    /// Terminal 2.
    ///
    /// - `curl [-s] localhost:8086[/PATH]`, where `|| echo TEXT` may follow for a failure
    /// - `kill [-SIGNAL] PID …`
    /// - `ps -o pid,ppid -p PID,…`: asked again until it shows what the scene shows
    /// - `sleep N`: for people; this test looks until it sees what it should
    /// - a second `cargo run`, which has to end by itself
    fn command(&mut self, line: &str, output: &[&str]) {
        let (line, otherwise) = line.split_once(" || echo ").unwrap_or((line, ""));
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["curl", .., url] => {
                assert!(url.starts_with("localhost:8086"), "{}: only localhost:8086", self.name);
                let page = self.cluster().get();
                let printed = match page {
                    Ok(page) => page.body,
                    Err(_) if !otherwise.is_empty() => otherwise.to_owned(),
                    Err(error) => format!("curl: {error}"),
                };
                self.compare(output, &[printed]);
                self.forget_who_is_who();
            }
            ["kill", words @ ..] => {
                let (signal, pids) = match words.split_first() {
                    Some((word, pids)) if word.starts_with('-') => (&word[1..], pids),
                    _ => ("TERM", words),
                };
                let signal = Signal::from_str(&format!("SIG{signal}"))
                    .unwrap_or_else(|_| panic!("{}: no such signal: {signal}", self.name));
                for pid in pids {
                    let pid = self.real_pid(pid);
                    send(signal, pid);
                    // Whoever types the next command finds it dead; this test is faster than that.
                    if ![Signal::SIGSTOP, Signal::SIGCONT].contains(&signal) {
                        until("a process that was sent a signal should be dead", || is_dead(pid));
                    }
                }
                self.compare(output, &[]);
            }
            ["sleep", _] => self.compare(output, &[]),
            ["ps", "-o", "pid,ppid", "-p", pids] => self.expect_processes(pids, output),
            _ => {
                let mut command = self.parse_run(line);
                command.env("PORT", self.cluster().port.number.to_string());
                let mut second = Cluster::spawn(command);
                let Ended { lines, stderr, .. } = second.wait_for_end(DEADLINE);
                let printed: Vec<_> = lines
                    .iter()
                    .map(String::as_str)
                    .chain(stderr.lines())
                    .map(str::to_owned)
                    .collect();
                self.compare(output, &printed);
            }
        }
    }

    /// Which worker answers is the kernel's choice, not the scene's: from here on, each of its
    /// living workers may stand for any of those here.
    fn forget_who_is_who(&mut self) {
        let primary = self.cluster().primary;
        let is_worker = |pid: i32| pid != primary.as_raw() && !is_dead(Pid::from_raw(pid));
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

    fn interrupt(&mut self) {
        killpg(self.cluster().primary, Signal::SIGINT).expect("the cluster runs");
    }

    /// The console of terminal 1 goes on with these lines.
    fn expect_console(&mut self, expected: &[&str]) {
        let mut printed = Vec::new();
        let on_stderr = expected.first().is_some_and(|line| line.starts_with("Error: "));
        if on_stderr {
            let end = self.end();
            printed.extend(end.lines.iter().cloned());
            printed.extend(end.stderr.lines().map(str::to_owned));
        } else {
            for _ in expected {
                match self.cluster_mut().next_line(DEADLINE) {
                    Some(line) => printed.push(line),
                    None => break,
                }
            }
        }
        self.compare(expected, &printed);
    }

    /// `echo $?` in terminal 1: the program has ended, and this was its exit status.
    fn expect_status(&mut self, expected: &[&str]) {
        let status = self.end().status;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        self.compare(expected, &[status.to_string()]);
    }

    /// `ps`: the processes named, and their parents, by process id.
    fn expect_processes(&mut self, pids: &str, expected: &[&str]) {
        let wanted: Vec<i32> = pids.split(',').map(|pid| pid.parse().unwrap()).collect();
        let deadline = Instant::now() + DEADLINE;
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
            let expected: Vec<String> = expected
                .iter()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            if !self.matches(&expected, &printed).is_empty() || Instant::now() > deadline {
                return self.compare(&expected, &printed);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// After the last line of the scene the console says nothing more.
    fn expect_nothing_more(&mut self) {
        if self.ended.is_none() {
            let end = self.cluster_mut().end();
            let mut printed = end.lines;
            printed.extend(end.stderr.lines().map(str::to_owned));
            self.compare(&[], &printed);
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
            // Workers that start side by side print in any order: any of them is any other.
            let starts = expected[row..].iter().take_while(|line| is_start(line)).count().max(1);
            ways = ways
                .iter()
                .flat_map(|names| {
                    let rows = row..row + starts;
                    self.unify_any_order(names, &expected[rows.clone()], &printed[rows])
                })
                .collect();
            ways.sort();
            ways.dedup();
            row += starts;
        }
        ways
    }

    fn unify_any_order(&self, names: &Names, expected: &[&str], printed: &[String]) -> Vec<Names> {
        let Some((first, rest)) = expected.split_first() else { return vec![names.clone()] };
        let mut ways = Vec::new();
        for (at, line) in printed.iter().enumerate() {
            if let Some(names) = self.unify(names, first, line) {
                let mut others = printed.to_vec();
                others.remove(at);
                ways.extend(self.unify_any_order(&names, rest, &others));
            }
        }
        ways
    }

    /// Names the process ids in `expected` so that it equals `printed`, if that can be.
    fn unify(&self, names: &Names, expected: &str, printed: &str) -> Option<Names> {
        let mut names = names.clone();
        let (left, right) = (tokens(expected), tokens(&self.as_here(printed)));
        if left.len() != right.len() {
            return None;
        }
        for (left, right) in left.iter().zip(&right) {
            match (left.parse::<i32>(), right.parse::<i32>()) {
                (Ok(there), Ok(here)) if is_pid(there) => match names.get(&there) {
                    Some(known) if *known == here => {}
                    None if !names.values().any(|known| *known == here) => {
                        names.insert(there, here);
                    }
                    _ => return None,
                },
                _ if left == right => {}
                _ => return None,
            }
        }
        Some(names)
    }

    /// What differs from machine to machine, as the scene has it.
    fn as_here(&self, line: &str) -> String {
        let port = self.cluster.as_ref().map(|cluster| cluster.port.number).unwrap_or_default();
        let line = line.replace(&format!("PORT={port}:"), "PORT=8086:");
        // EADDRINUSE is 98 on Linux and 48 on macOS.
        line.replace("(os error 48)", "(os error 98)")
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
    fn real_pid(&mut self, pid: &str) -> Pid {
        let there: i32 = pid.parse().unwrap_or_else(|_| panic!("{}: whose id? {pid}", self.name));
        let known = self.names.first().and_then(|names| names.get(&there)).copied();
        let here = known.unwrap_or_else(|| panic!("{}: nobody is {pid} yet", self.name));
        self.names.retain(|names| names.get(&there) == Some(&here));
        Pid::from_raw(here)
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("terminal 1 starts a program first")
    }

    fn cluster_mut(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("terminal 1 starts a program first")
    }

    fn end(&mut self) -> &Ended {
        if self.ended.is_none() {
            self.ended = Some(self.cluster_mut().wait_for_end(DEADLINE));
        }
        self.ended.as_ref().unwrap()
    }

    fn side_by_side(&self) -> String {
        let file = format!("book/console/{}.console", self.name);
        let width = self.told.iter().map(|(left, ..)| columns(left)).max().unwrap_or(0);
        let width = width.max(file.len());
        let pad = |text: &str| " ".repeat(width - columns(text));
        let mut text = format!("\n  {file}{} │ this run\n", pad(&file));
        for (left, right, same) in &self.told {
            let mark = if *same { ' ' } else { '≠' };
            text += &format!("{mark} {left}{} │ {right}\n", pad(left));
        }
        text + "\n≠ marks where this run is not what the book shows.\n"
    }
}

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

fn is_start(line: &str) -> bool {
    line.ends_with("번 워커 실행")
}

/// Whether a number in a scene is a process id: they stand out by their size, for exit codes and
/// signal numbers are below 256. (Here, in a small container, an id may be as small.)
fn is_pid(number: i32) -> bool {
    number > 255
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
