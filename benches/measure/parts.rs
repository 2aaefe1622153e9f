//! What is measured, part by part. In each, the rounds go over all subjects in turn, so that a
//! machine that is busy for a while is so for all of them.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use support::Pid;

use crate::beyond;
use crate::load::{self, CONNECTIONS, Mode};
use crate::machine::is_installed;
use crate::report::{ALL, BINARY, GROWING, LOADED, RELOADED};
use crate::servers::{Server, Subject};

pub struct Part {
    pub name: &'static str,
    pub about: &'static str,
    /// The tables that show it.
    pub tables: &'static [&'static str],
    pub measure: fn(&Bench) -> Result<Value, String>,
}

pub const PARTS: &[Part] = &[
    Part {
        name: "start",
        about: "from the start until all workers answer",
        tables: &["start"],
        measure: start,
    },
    Part {
        name: "kill",
        about: "from a kill until the new worker answers",
        tables: &["start"],
        measure: kill,
    },
    Part {
        name: "load",
        about: "requests a second, and the memory they leave behind",
        tables: &["load", "memory"],
        measure: load,
    },
    Part {
        name: "reload",
        about: "requests lost over reloads under load",
        tables: &["reload"],
        measure: reload,
    },
    Part {
        name: "restart",
        about: "requests lost, and the longest wait, where the primary is restarted under load",
        tables: &["restart", "slow"],
        measure: beyond::restart,
    },
    Part {
        name: "hosts",
        about: "requests lost, and the longest wait, where two hosts come and go behind HAProxy",
        tables: &["balancer", "hosts"],
        measure: beyond::hosts,
    },
    Part {
        name: "failover",
        about: "visits lost, and for how long none is counted, where the master of Redis goes",
        tables: &["failover"],
        measure: beyond::failover,
    },
    Part {
        name: "grow",
        about: "start, memory and requests a second with 1, 2, 4, … 64 workers",
        tables: &["grow"],
        measure: grow,
    },
    Part {
        name: "build",
        about: "the first build of each set of features",
        tables: &["build"],
        measure: build,
    },
];

/// Workers of each server, where their number is not what is measured.
pub const WORKERS: usize = 2;

/// How much to measure, and how far that is.
pub struct Bench {
    pub quick: bool,
    /// What went wrong with a server. The others are measured all the same.
    pub failures: RefCell<Vec<String>>,
    bar: ProgressBar,
}

impl Bench {
    pub fn new(quick: bool) -> Result<Bench, String> {
        let style = "{prefix} {bar:24} {percent:>3} %  {elapsed}  {wide_msg}";
        let style = ProgressStyle::with_template(style).map_err(|error| error.to_string())?;
        // Where there is no terminal it shows nothing.
        let bar = ProgressBar::new(1).with_style(style);
        Ok(Bench { quick, failures: RefCell::default(), bar })
    }

    pub fn begin(&self, part: &Part, number: usize, of: usize) {
        if !std::io::stderr().is_terminal() {
            eprintln!("[{number}/{of}] {}: {}", part.name, part.about);
        }
        self.bar.reset();
        self.bar.set_prefix(format!("[{number}/{of}] {}", part.name));
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    pub fn end(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    /// One in a quick run.
    pub fn rounds(&self, rounds: u64) -> u64 {
        if self.quick { 1 } else { rounds }
    }

    /// A second in a quick run.
    pub fn seconds(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { seconds })
    }

    /// Runs `measure` for each of the subjects, so many times in turn, and puts together what they
    /// return: for each subject a list for each name.
    fn rounds_of(
        &self,
        rounds: u64,
        names: &[&'static str],
        mut measure: impl FnMut(&Subject, &Bench) -> Result<Vec<(String, Value)>, String>,
    ) -> Map<String, Value> {
        let missing = |name: &str| Subject::named(name).missing();
        self.rounds_of_all(rounds, names, missing, |name, bench| {
            measure(Subject::named(name), bench)
        })
    }

    /// [`Bench::rounds_of`] for what is no single server: `missing` says what is not installed of what
    /// it needs. What a test uses may panic, which is a failure like another.
    pub fn rounds_of_all(
        &self,
        rounds: u64,
        names: &[&'static str],
        missing: impl Fn(&'static str) -> Option<&'static str>,
        mut measure: impl FnMut(&'static str, &Bench) -> Result<Vec<(String, Value)>, String>,
    ) -> Map<String, Value> {
        let mut measured: Map<String, Value> = Map::new();
        self.bar.set_length(rounds * names.len() as u64);
        for round in 1..=rounds {
            for name in names {
                self.bar.set_message(format!("{name}, round {round} of {rounds}"));
                let all = measured.entry(*name).or_insert_with(|| match missing(name) {
                    Some(missing) => json!({ "missing": missing }),
                    None => json!({}),
                });
                if all["missing"].is_null() && all["failed"].is_null() {
                    let measured = catch_unwind(AssertUnwindSafe(|| measure(name, self)));
                    match measured.unwrap_or_else(|panic| Err(told(name, &*panic))) {
                        Ok(values) => add(all, values),
                        Err(error) => {
                            self.bar.suspend(|| eprintln!("{name} failed"));
                            self.failures.borrow_mut().push(error);
                            *all = json!({ "failed": true });
                        }
                    }
                }
                self.bar.inc(1);
            }
        }
        measured
    }
}

/// What a panic said.
fn told(name: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("{name}: {}", text.unwrap_or("a panic"))
}

/// Puts the values of a round into the list that each of their names has.
fn add(all: &mut Value, values: Vec<(String, Value)>) {
    for (name, value) in values {
        let list = &mut all[name];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().expect("it is a list").push(value);
    }
}

/// As many digits of a number as are sure of it.
pub fn digits(number: f64) -> Value {
    let most = if number >= 100.0 { 0 } else { 2 };
    let text = format!("{number:.most$}");
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

pub fn milliseconds(time: Duration) -> Value {
    digits(time.as_secs_f64() * 1000.0)
}

fn start(bench: &Bench) -> Result<Value, String> {
    let subjects = bench.rounds_of(bench.rounds(7), &ALL, |subject, _| {
        let (_server, took) = subject.start_and_wait(WORKERS)?;
        Ok(vec![("ms".to_owned(), milliseconds(took))])
    });
    Ok(json!({ "workers": WORKERS, "subjects": subjects }))
}

/// With one worker: then nobody but its replacement can answer.
fn kill(bench: &Bench) -> Result<Value, String> {
    let names: Vec<_> = ALL.into_iter().filter(|name| *name != "00_fork").collect();
    // A worker that lived for less than a second would be replaced after a pause, from 07 on.
    let life = Duration::from_millis(1100);
    let mut running: HashMap<&str, (Server, Instant)> = HashMap::new();
    let subjects = bench.rounds_of(bench.rounds(7), &names, |subject, _| {
        if !running.contains_key(subject.name) {
            let (server, _) = subject.start_and_wait(1)?;
            running.insert(subject.name, (server, Instant::now()));
        }
        let (server, born) = running.get_mut(subject.name).expect("it has just been put there");
        sleep(life.saturating_sub(born.elapsed()));
        let took = server.kill_and_wait()?;
        *born = Instant::now();
        Ok(vec![("ms".to_owned(), milliseconds(took))])
    });
    Ok(json!({ "workers": 1, "subjects": subjects }))
}

fn load(bench: &Bench) -> Result<Value, String> {
    let subjects = bench.rounds_of(bench.rounds(5), &LOADED, |subject, bench| {
        let mut measured = Vec::new();
        if !is_installed("wrk") {
            return Ok(measured);
        }
        let (mut server, _) = subject.start_and_wait(WORKERS)?;
        let headers = server.visitor()?;
        for mode in Mode::BOTH {
            warm(&server, bench, mode, CONNECTIONS, &headers)?;
            let load =
                load::run(server.port.number, mode, CONNECTIONS, bench.seconds(2), &headers)?;
            measured.push((format!("{} a second", mode.name()), digits(load.per_second)));
            // So many would fill the machine, and wait for each other more than for the server.
            let load = load::run(server.port.number, mode, 1, bench.seconds(1), &headers)?;
            measured.push((format!("{} one client p99 ms", mode.name()), digits(load.p99)));
        }
        measured.extend(memory(&mut server));
        Ok(measured)
    });
    Ok(json!({
        "workers": WORKERS,
        "connections": CONNECTIONS,
        "wrk": is_installed("wrk"),
        "subjects": subjects,
    }))
}

/// Loads a server for a while, so that what is measured then is warm: a second, and one with a page in
/// JavaScript for longer. Node compiles what has run often enough in each worker, and what
/// a connection costs is other code than what a request does.
fn warm(
    server: &Server,
    bench: &Bench,
    mode: Mode,
    connections: usize,
    headers: &[String],
) -> Result<(), String> {
    let seconds = if server.warms_up() { (server.workers / 2).max(3) as u64 } else { 1 };
    load::run(server.port.number, mode, connections, bench.seconds(seconds), headers).map(drop)
}

/// The memory of the primary, and of a worker on the average, in MB. What processes share counts for
/// each of them in part (PSS). Linux alone tells that.
fn memory(server: &mut Server) -> Vec<(String, Value)> {
    let workers: Option<Vec<f64>> = server.workers().into_iter().map(megabytes).collect();
    let workers = workers.filter(|all| !all.is_empty());
    let worker = workers.map(|all| all.iter().sum::<f64>() / all.len() as f64);
    let both = [("worker MB", worker), ("primary MB", megabytes(server.primary()))];
    both.into_iter().filter_map(|(name, value)| Some((name.to_owned(), digits(value?)))).collect()
}

/// The memory of a process (PSS), proc_pid_smaps(5).
pub fn megabytes(pid: Pid) -> Option<f64> {
    let listing = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = listing.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

fn reload(bench: &Bench) -> Result<Value, String> {
    let subjects = bench.rounds_of(bench.rounds(3), &RELOADED, |subject, bench| {
        let mut measured = Vec::new();
        if !is_installed("wrk") {
            return Ok(measured);
        }
        let time = bench.seconds(5);
        for mode in Mode::BOTH {
            let (mut server, _) = subject.start_and_wait(WORKERS)?;
            let (begun, gap) = (Instant::now(), Duration::from_millis(200));
            let wrk = load::begin(server.port.number, mode, CONNECTIONS, time, &[])?;
            let (mut reloads, mut longest) = (0, gap);
            sleep(gap);
            // The last one is to end under load, too.
            while reloads == 0 || begun.elapsed() + longest + gap < time {
                let start = Instant::now();
                server.reload_and_wait()?;
                reloads += 1;
                longest = longest.max(start.elapsed());
                sleep(gap.saturating_sub(start.elapsed()));
            }
            let load = load::end(wrk)?;
            let run = json!({ "requests": load.requests, "reloads": reloads, "lost": load.lost });
            measured.push((mode.name().to_owned(), run));
        }
        Ok(measured)
    });
    Ok(json!({
        "workers": WORKERS,
        "connections": CONNECTIONS,
        "wrk": is_installed("wrk"),
        "subjects": subjects,
    }))
}

fn grow(bench: &Bench) -> Result<Value, String> {
    let counts: &[usize] = if bench.quick { &[1, 2] } else { &[1, 2, 4, 8, 16, 32, 64] };
    // Some for each worker.
    let connections = 128;
    let subjects = bench.rounds_of(bench.rounds(3), &GROWING, |subject, bench| {
        let mut measured = Vec::new();
        for workers in counts {
            bench.bar.tick();
            let (mut server, took) = subject.start_and_wait(*workers)?;
            measured.push((format!("{workers} ms"), milliseconds(took)));
            // Before the load, whose connections would be shared by more and more workers.
            let memory = memory(&mut server).into_iter();
            measured.extend(memory.map(|(name, value)| (format!("{workers} {name}"), value)));
            if is_installed("wrk") {
                warm(&server, bench, Mode::KeepAlive, connections, &[])?;
                let time = bench.seconds(1);
                let load = load::run(server.port.number, Mode::KeepAlive, connections, time, &[])?;
                measured.push((format!("{workers} a second"), digits(load.per_second)));
            }
        }
        Ok(measured)
    });
    Ok(json!({
        "workers": counts,
        "connections": connections,
        "wrk": is_installed("wrk"),
        "subjects": subjects,
    }))
}

/// What a reader types first with each set of features; none has been built before. The crates are
/// on the disk by then, or this program would not have been built.
fn build(bench: &Bench) -> Result<Value, String> {
    let sets = [("", "03_respawn"), ("part-two", "06_handoff"), ("redis", "14_redis")];
    let sets: Vec<_> = sets.into_iter().take(if bench.quick { 1 } else { 3 }).collect();
    let mut measured = Vec::new();
    bench.bar.set_length(sets.len() as u64);
    for (features, binary) in sets {
        if Subject::named(binary).missing() == Some(BINARY) {
            continue;
        }
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("first-build");
        let _ = fs::remove_dir_all(&target);
        bench.bar.set_message(binary);
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--locked", "--offline", "--bin", binary, "--target-dir"])
            .arg(&target);
        if !features.is_empty() {
            cargo.args(["--features", features]);
        }
        cargo.current_dir(support::root()).env("CARGO_TERM_COLOR", "never");
        let start = Instant::now();
        let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
        let took = start.elapsed();
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{cargo:?}: {told}"));
        }
        let crates = told.lines().filter(|line| line.trim().starts_with("Compiling ")).count();
        let seconds = digits(took.as_secs_f64());
        measured.push(json!({
            "features": features, "binary": binary, "crates": crates, "seconds": seconds
        }));
        let _ = fs::remove_dir_all(&target);
        bench.bar.inc(1);
    }
    Ok(json!({ "sets": measured }))
}
