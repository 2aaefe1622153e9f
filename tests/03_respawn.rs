//! Step 03: the primary starts a new worker for every one that has ended.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use support::transcript::play_all;
use support::{Cluster, DEADLINE, descriptors, is_dead, promises, send, step, until};

promises::promises_of_every_step!("03_respawn");

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
        assert_eq!(cluster.died(), (old, "code 1 signal null".to_owned()));
        let new = cluster.started();
        assert_ne!(new, old, "the replacement should be a new process");
    }
    cluster.assert_answers();
}

#[test]
fn three_hundred_rounds_of_kills_lose_no_worker_no_line_and_no_descriptor() {
    use Signal::{SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1};
    let signals = [SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1];
    let seed = fastrand::get_seed();
    println!("fastrand::seed({seed}) repeats these rounds");
    let mut cluster = Cluster::start(step("03_respawn"), 3);
    let before = descriptors(cluster.primary);
    for _ in 0..300 {
        // One to three workers at once: their ends and the new starts may come in any order.
        let victims = fastrand::choose_multiple(cluster.workers.clone(), fastrand::usize(1..=3));
        let mut expected = BTreeSet::new();
        for worker in &victims {
            let signal = fastrand::choice(signals).unwrap();
            send(signal, *worker);
            expected.insert((*worker, format!("code null signal {signal}")));
        }
        let deaths = replacements(&mut cluster, victims.len());
        assert_eq!(deaths, expected, "each death should be logged once, with its own signal");
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
    send(Signal::SIGSTOP, cluster.primary);
    for worker in cluster.workers.clone() {
        send(Signal::SIGKILL, worker);
        until("the worker should be dead", || is_dead(worker));
    }
    let client = TcpStream::connect(("127.0.0.1", cluster.port.number));
    let mut client = client.expect("the connection should wait in the kernel's queue");
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    send(Signal::SIGCONT, cluster.primary);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("a new worker should answer");
    assert!(answer.ends_with(support::PAGE), "a new worker should answer with the page: {answer}");
    for (_, how) in replacements(&mut cluster, 2) {
        assert_eq!(how, "code null signal SIGKILL");
    }
}

/// Reads the console until `count` workers have died and as many have started, in whatever order.
/// Returns the deaths.
fn replacements(cluster: &mut Cluster, count: usize) -> BTreeSet<(Pid, String)> {
    let mut deaths = BTreeSet::new();
    let mut starts = 0;
    while deaths.len() < count || starts < count {
        let line = cluster.line();
        if let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다") {
            let worker = support::pid(worker).expect("a process id");
            cluster.workers.retain(|other| *other != worker);
            let death = (worker, cluster.line());
            assert!(deaths.insert(death), "a death was logged twice:\n{}", cluster.console());
        } else if let Some(worker) = line.strip_suffix("번 워커 실행") {
            cluster.workers.push(support::pid(worker).expect("a process id"));
            starts += 1;
        } else {
            panic!("neither a death nor a start:\n{}", cluster.console());
        }
    }
    deaths
}
