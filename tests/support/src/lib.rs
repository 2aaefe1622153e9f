//! What the tests share: a running cluster whose console is read line by line, and what a person
//! would look at from a second terminal.
//!
//! Every wait in here ends: with what was waited for, or at [`DEADLINE`] with a message that says
//! what came instead; below it stands the console up to that moment. What goes wrong is a panic, for
//! this is what a test fails by.

mod client;
mod cluster;
mod folder;
mod haproxy;
mod hosts;
mod installed;
mod lent;
mod limits;
#[cfg(target_os = "linux")]
mod namespaces;
mod pm2;
mod port;
mod process;
pub mod promises;
mod redis;
mod sentinels;
pub mod transcript;

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
pub use nix::sys::signal::Signal;
pub use nix::unistd::Pid;

pub use client::{
    Answer, GREETING, HTML, OrFail, PAGE, Page, REQUEST, agent, agent_that_keeps_its_connection,
    answer, any_answer, begin_to_connect, connect, reset,
};
pub use cluster::{
    Cluster, Console, Ended, assert_deaths, assert_nothing, assert_says, assert_status,
    console_says, who_started,
};
pub(crate) use cluster::{get_with_cookie, says};
pub use folder::Folder;
pub use haproxy::{Haproxy, hosts_cfg};
pub use hosts::{Hosts, NAMES, Place};
pub use installed::Installed;
pub use lent::{Lent, Notify, lend};
#[cfg(target_os = "linux")]
pub(crate) use limits::NOBODY;
#[cfg(target_os = "linux")]
pub use limits::{
    allow_new_processes_and_threads, is_root, limit_descriptors_softly, without_parent_death_signal,
};
pub use limits::{limit_descriptors, limit_processes, step_of_an_ordinary_user};
#[cfg(target_os = "linux")]
pub use namespaces::Network;
pub use pm2::{Pm2, Told};
pub use port::Port;
#[cfg(target_os = "linux")]
pub use process::sockets;
pub use process::{
    Process, descriptors, group, is_dead, is_read, is_stopped, pid, process, processes,
    zombie_status,
};
pub use redis::{Redis, always_answers};
pub use sentinels::Sentinels;

/// How long anything may take before a test gives up. Generous: it is only ever used up by a
/// failure, and a busy machine must not cause one.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long a test may use one cluster, all waits together: who edits a step waits no longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The command that runs the step `name`, such as `03_respawn`.
///
/// Cargo builds the steps before it runs the tests of their own package. Another package's tests
/// have to see to that themselves: there, the binary is looked for beside the test's own.
pub fn step(name: &str) -> Command {
    Command::new(cargo_bin(name))
}

/// The command that runs the Node twin of the step `name`.
pub fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(root().join(format!("steps/node/{name}.mjs")));
    command
}

/// The folder of the whole project.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the project is two folders up").to_owned()
}

/// Does the same with all of these at the same time, and returns what comes of each. Where one fails,
/// this fails as it did.
pub fn side_by_side<T: Send, R: Send>(
    all: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    thread::scope(|scope| {
        let run = &run;
        let all: Vec<_> = all.into_iter().map(|it| scope.spawn(move || run(it))).collect();
        let all = all.into_iter().map(|it| it.join());
        all.map(|it| it.unwrap_or_else(|failure| resume_unwind(failure))).collect()
    })
}

/// Looks again and again until `done`, and panics with `what` should have come true at the
/// [`DEADLINE`]. Only for what no event announces.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}, but {DEADLINE:?} later that is not so");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `round` until one takes less than `limit`, five times at most: a busy machine makes a
/// round slow, but not the fastest of several.
///
/// `round` returns how long it took. Panics with `what` and the best time where all are too slow.
#[track_caller]
pub fn within(limit: Duration, what: &str, mut round: impl FnMut() -> Duration) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(round());
        if best < limit {
            return;
        }
    }
    panic!("{what} within {limit:?}, but the fastest of five rounds took {best:.2?}");
}
