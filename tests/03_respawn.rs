//! Step 03: the primary starts a new worker for every one that has ended.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::transcript::play_all;
use support::{
    Cluster, Console, DEADLINE, OrFail, Signal, answer, assert_deaths, assert_nothing, assert_says,
    assert_status, connect, console_says, descriptors, is_dead, step, until, who_started,
};

support::promises_of_every_program!("03_respawn");
support::promises_of_every_cluster!("03_respawn");
support::promises! { "03_respawn":
    a_console_that_nobody_reads_ends_it
    the_page_is_the_same_for_every_path_and_method
    a_worker_exits_one_second_after_its_first_answer_however_often_it_is_asked
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("03_");
}

#[test]
fn a_worker_that_exits_is_logged_and_replaced_once() {
    let mut cluster = Cluster::start(step("03_respawn"), 1);
    for _ in 0..3 {
        let old = cluster.workers[0];
        cluster.assert_answers();
        cluster.dies(old, "code 1 signal null");
        let new = cluster.started();
        assert_ne!(new, old, "the replacement should be a new process");
    }
    cluster.assert_answers();
}

#[test]
fn a_death_is_logged_before_its_replacement_is_started() {
    let (console, writer) = UnixStream::pair().unwrap();
    console.set_read_timeout(Some(DEADLINE)).unwrap();
    let filler = writer.try_clone().unwrap();
    let mut command = step("03_respawn");
    command.env("WORKERS", "1");
    let cluster = Cluster::spawn(command, Console::Own(Stdio::from(OwnedFd::from(writer))));
    let mut console = BufReader::new(console);
    let mut line = || {
        let mut line = String::new();
        let length = console.read_line(&mut line);
        console_says(length, line.as_bytes()).trim_end().to_owned()
    };
    line();
    let worker = who_started(&line());
    // A console that is full holds the primary up where it logs the death.
    fill(&filler);
    cluster.send(Signal::SIGKILL, worker);
    until("the dead worker should be noticed", || {
        cluster.children().iter().all(|child| child.pid != worker)
    });
    until("the primary should wait until it can log the death", || {
        let primary = support::process(cluster.primary).expect("the primary should live");
        "SI".contains(primary.state)
    });
    let early: Vec<String> = cluster.children().iter().map(|it| it.pid.to_string()).collect();
    assert_nothing(early, "no replacement should be there before the death is logged");
    let death = format!("{worker}번 워커가 종료되었습니다");
    assert_says(line().trim_start_matches(FILLER), &death);
    assert_says(&line(), "code null signal SIGKILL");
    who_started(&line());
}

const FILLER: char = '.';

/// Writes into `console` until not one letter more fits.
fn fill(mut console: &UnixStream) {
    // Who else writes has the same limit of time: nobody does, and it is taken back.
    console.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
    for length in [4096, 1] {
        let text = FILLER.to_string().repeat(length);
        while console.write(text.as_bytes()).is_ok() {}
    }
    console.set_write_timeout(None).unwrap();
}

#[test]
fn three_hundred_rounds_of_kills_lose_no_worker_no_line_and_no_descriptor() {
    use Signal::{SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1};
    let signals = [SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1];
    let seed = fastrand::get_seed();
    println!("fastrand::seed({seed}) repeats these rounds");
    let mut cluster = Cluster::start(step("03_respawn"), 3);
    let before = descriptors(cluster.primary);
    let start = Instant::now();
    for round in 0..300 {
        let long = start.elapsed() > LONG;
        assert!(
            !long,
            "{LONG:?} are over after {round} of 300 rounds: a replacement takes too long"
        );
        // One to three workers at once: their ends and the new starts may come in any order.
        let victims = fastrand::choose_multiple(cluster.workers.clone(), fastrand::usize(1..=3));
        let mut expected = BTreeSet::new();
        for worker in &victims {
            let signal = fastrand::choice(signals).unwrap();
            cluster.send(signal, *worker);
            expected.insert((*worker, format!("code null signal {signal}")));
        }
        let deaths = cluster.replaced(victims.len());
        assert_deaths(&deaths, &expected);
    }
    let children = cluster.children();
    let zombies = children.iter().filter(|child| child.state == 'Z').count();
    assert_eq!(zombies, 0, "a worker that died stays as a zombie");
    assert_eq!(children.len(), 3, "WORKERS=3, but the primary has another number of workers now");
    let after = descriptors(cluster.primary);
    assert_eq!(after, before, "the primary should hold the descriptors it began with");
    cluster.assert_answers();
}

#[test]
fn a_client_waits_while_every_worker_is_dead() {
    let mut cluster = Cluster::start(step("03_respawn"), 2);
    // A primary that is stopped cannot replace anybody.
    cluster.send(Signal::SIGSTOP, cluster.primary);
    for worker in cluster.workers.clone() {
        cluster.send(Signal::SIGKILL, worker);
        until("the worker should be dead", || is_dead(worker));
    }
    // The connection waits in the kernel's queue.
    let mut client = connect(cluster.port.number);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").or_fail("the connection should be open");
    cluster.send(Signal::SIGCONT, cluster.primary);
    answer(&mut client).or_fail("a new worker should answer the client that waits");
    for (_, how) in cluster.replaced(2) {
        assert_says(&how, "code null signal SIGKILL");
    }
}

/// The limit is the primary's alone, and set while it runs, which Linux alone can do.
#[cfg(target_os = "linux")]
#[test]
fn a_primary_that_cannot_replace_a_worker_says_so_in_one_line_and_ends() {
    let mut cluster = Cluster::start(support::step_of_an_ordinary_user("03_respawn"), 2);
    support::allow_new_processes_and_threads(cluster.primary, false);
    let worker = cluster.workers[0];
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, "code null signal SIGKILL");
    // The other worker ends with its primary.
    let support::Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_nothing(&lines, "nobody can have been started");
    assert!(stderr.starts_with("Error: fork: "), "it should say what failed: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "it should say so in one line: {stderr}");
    assert_status(status, 1);
}

/// How long the three hundred rounds may take; they need a second or two.
const LONG: Duration = Duration::from_secs(40);
