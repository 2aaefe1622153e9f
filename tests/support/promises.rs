//! What every step promises. Each test file calls [`promises_of_every_step!`] for its own step.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use nix::sys::signal::{Signal, killpg};
use predicates::prelude::predicate;

use super::{Cluster, DEADLINE, Ended, HTML, PAGE, Port, agent, is_stopped, send, step, until};

/// One test for each promise that the step `$step` shares with all others, by name.
macro_rules! promises_of_every_step {
    ($step:literal: $($promise:ident)*) => {
        $(#[test]
        fn $promise() {
            support::promises::$promise($step);
        })*
    };
    ($step:literal) => {
        support::promises::promises_of_every_step! { $step:
            one_primary_starts_as_many_workers_as_asked_for
            without_workers_set_there_is_one_for_each_cpu
            the_page_is_the_same_for_every_path_and_method
            every_worker_answers_on_the_one_port
            nobody_outside_this_machine_is_answered
            a_client_that_hangs_up_ends_no_worker
            a_wrong_port_is_one_line_and_starts_nothing
            a_wrong_number_of_workers_is_one_line_and_starts_nothing
            a_taken_port_is_one_line_and_starts_nothing
            no_worker_outlives_a_primary_that_was_killed
            no_worker_outlives_a_primary_that_was_terminated
            no_worker_outlives_a_primary_that_was_interrupted
            no_worker_outlives_a_primary_that_was_hung_up
            ctrl_c_ends_all_at_once_and_logs_nothing
            a_console_that_nobody_reads_ends_it_quietly
        }
    };
}

pub fn one_primary_starts_as_many_workers_as_asked_for(name: &str) {
    let mut cluster = Cluster::start(step(name), 3);
    let mut children: Vec<_> = cluster.children().iter().map(|child| child.pid).collect();
    let mut workers = cluster.workers.clone();
    children.sort();
    workers.sort();
    assert_eq!(children, workers, "the primary's children should be the workers that said so");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_eq!(lines, [""; 0], "with WORKERS=3 the console should have ended after three workers");
    assert_eq!(stderr, "", "nothing went wrong, so stderr should be empty");
}

pub fn without_workers_set_there_is_one_for_each_cpu(name: &str) {
    let mut command = step(name);
    command.env_remove("WORKERS");
    let mut cluster = Cluster::spawn(command);
    cluster.line();
    for _ in 0..num_cpus::get() {
        cluster.started();
    }
    let workers = cluster.children().len();
    assert_eq!(workers, num_cpus::get(), "without WORKERS there should be one worker a CPU");
}

pub fn the_page_is_the_same_for_every_path_and_method(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    cluster.assert_answers();
    let url = format!("http://127.0.0.1:{}/any/path?at=all", cluster.port.number);
    let mut posted = agent().post(url).send("a body").expect("POST is answered, too");
    assert_eq!(posted.status(), 200);
    assert_eq!(posted.headers()["content-type"], HTML);
    assert_eq!(posted.body_mut().read_to_string().unwrap(), PAGE);
}

/// Also: a connection is never lost on a worker that cannot take it.
pub fn every_worker_answers_on_the_one_port(name: &str) {
    let cluster = Cluster::start(step(name), 3);
    for awake in &cluster.workers {
        let asleep: Vec<_> = cluster.workers.iter().filter(|worker| *worker != awake).collect();
        for worker in &asleep {
            let _ = nix::sys::signal::kill(**worker, Signal::SIGSTOP);
        }
        until("the other workers should be stopped", || asleep.iter().all(|pid| is_stopped(**pid)));
        cluster.assert_answers();
        for worker in &asleep {
            let _ = nix::sys::signal::kill(**worker, Signal::SIGCONT);
        }
    }
}

pub fn nobody_outside_this_machine_is_answered(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    // A server bound to all addresses answers here; one bound to 127.0.0.1 does not.
    let other = TcpStream::connect(("127.0.0.2", cluster.port.number));
    assert!(other.is_err(), "it should listen on 127.0.0.1 only, but 127.0.0.2 answers");
    cluster.assert_answers();
}

pub fn a_client_that_hangs_up_ends_no_worker(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let connect = || TcpStream::connect(("127.0.0.1", cluster.port.number)).unwrap();
    for _ in 0..50 {
        drop(connect());
        // Half a request, so that no step takes it for one: a crashing step would start its clock.
        connect().write_all(b"GET / HT").unwrap();
    }
    // A client that asks and does not wait for the answer: its worker writes to a closed socket.
    let mut rude = connect();
    rude.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50).as_slice()).unwrap();
    rude.shutdown(Shutdown::Both).unwrap();
    drop(rude);
    cluster.assert_answers();
    // Where a step replaces its workers, another one may have answered.
    let children: Vec<_> = cluster.children().iter().map(|child| child.pid).collect();
    assert_eq!(children, cluster.workers, "a client hung up, and its worker was lost");
}

pub fn a_wrong_port_is_one_line_and_starts_nothing(name: &str) {
    for value in ["", " ", "0", "-1", "65536", "eighty", "80.86", "8086 ", "99999999999999999999"] {
        let mut command = step(name);
        command.env("PORT", value).env("WORKERS", "2");
        Cluster::output(command).assert().failure().stdout("").stderr(predicate::eq(
            format!("Error: PORT={value:?}: not a whole number from 1 to 65535\n").as_str(),
        ));
    }
}

pub fn a_wrong_number_of_workers_is_one_line_and_starts_nothing(name: &str) {
    for value in ["", " ", "0", "-1", "1025", "two", "2.5", "2 ", "99999999999999999999"] {
        let mut command = step(name);
        command.env("WORKERS", value);
        Cluster::output(command).assert().failure().stdout("").stderr(predicate::eq(
            format!("Error: WORKERS={value:?}: not a whole number from 1 to 1024\n").as_str(),
        ));
    }
}

pub fn a_taken_port_is_one_line_and_starts_nothing(name: &str) {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = step(name);
    command.env("PORT", port.number.to_string()).env("WORKERS", "2");
    Cluster::output(command)
        .assert()
        .failure()
        .stdout("")
        .stderr(predicate::str::starts_with(format!("Error: PORT={}: Address", port.number)))
        .stderr(predicate::function(|text: &str| text.lines().count() == 1));
}

fn no_worker_outlives_the_primary(name: &str, signal: Signal) {
    let mut cluster = Cluster::start(step(name), 3);
    send(signal, cluster.primary);
    let Ended { status, lines, stderr } = cluster.wait_for_end(Duration::from_secs(1));
    assert_eq!(status.signal(), Some(signal as i32), "the primary should have died by {signal}");
    assert_eq!(lines, [""; 0], "nobody is left to log anything");
    assert_eq!(stderr, "");
    let port = cluster.port.number;
    TcpListener::bind(("127.0.0.1", port)).expect("the port should be free again");
}

pub fn no_worker_outlives_a_primary_that_was_killed(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGKILL);
}

pub fn no_worker_outlives_a_primary_that_was_terminated(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGTERM);
}

pub fn no_worker_outlives_a_primary_that_was_interrupted(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGINT);
}

pub fn no_worker_outlives_a_primary_that_was_hung_up(name: &str) {
    no_worker_outlives_the_primary(name, Signal::SIGHUP);
}

/// Ctrl-C reaches every process of the terminal's foreground group (termios(3), ISIG).
pub fn ctrl_c_ends_all_at_once_and_logs_nothing(name: &str) {
    let mut cluster = Cluster::start(step(name), 3);
    killpg(cluster.primary, Signal::SIGINT).unwrap();
    let Ended { lines, stderr, .. } = cluster.wait_for_end(Duration::from_secs(1));
    if cfg!(target_os = "linux") {
        // Elsewhere a worker may die, and be logged, before the signal has reached the primary.
        assert_eq!(lines, [""; 0], "Ctrl-C should log nothing and respawn nothing");
    }
    assert_eq!(stderr, "");
}

pub fn a_console_that_nobody_reads_ends_it_quietly(name: &str) {
    let mut command = step(name);
    command.env("WORKERS", "2");
    let Ended { status, stderr, .. } = Cluster::spawn_unread(command).wait_for_end(DEADLINE);
    assert_eq!(stderr, "", "`… | head -1` should end without a word on stderr");
    assert!(!status.success(), "it could not say what it had to say");
}

pub(crate) use promises_of_every_step;
