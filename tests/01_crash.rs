//! Step 01: each worker exits with code 1, one second after its first answer.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::transcript::play_all;
use support::{Cluster, DEADLINE, Ended, PAGE, promises, send, step, until, zombie_status};

promises::promises_of_every_step!("01_crash");

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("01_");
}

#[test]
fn a_worker_exits_one_second_after_its_first_answer_however_often_it_is_asked() {
    let cluster = Cluster::start(step("01_crash"), 1);
    let connection = TcpStream::connect(("127.0.0.1", cluster.port.number)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    let start = Instant::now();
    let mut answers = 0;
    while ask(&connection) {
        answers += 1;
        assert!(start.elapsed() < Duration::from_secs(4), "after one second it should have exited");
    }
    let life = start.elapsed();
    assert!(life >= Duration::from_secs(1), "it should live for one second, but it was {life:?}");
    assert!(life < Duration::from_secs(4), "it should live for one second, but it was {life:?}");
    assert!(answers > 1, "until then it should go on answering, but it answered {answers} time");
}

/// Asks for the page over a connection that is kept. False where it was closed instead.
fn ask(mut connection: &TcpStream) -> bool {
    let mut answer = String::new();
    let mut part = [0; 512];
    if connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err() {
        return false;
    }
    while !answer.ends_with(PAGE) {
        match connection.read(&mut part) {
            Ok(length @ 1..) => answer += &String::from_utf8_lossy(&part[..length]),
            _ => return false,
        }
    }
    true
}

#[test]
fn a_worker_exits_with_code_1() {
    let mut cluster = Cluster::start(step("01_crash"), 1);
    let worker = cluster.workers[0];
    // A primary that is stopped cannot reap: the worker stays a zombie, with its status to read.
    send(Signal::SIGSTOP, cluster.primary);
    cluster.assert_answers();
    let mut status = None;
    until("the worker should exit", || {
        let dead = support::processes().iter().any(|it| it.pid == worker && it.state == 'Z');
        status = dead.then(|| zombie_status(worker)).flatten();
        status.is_some()
    });
    let status = nix::sys::wait::WaitStatus::from_raw(worker, status.unwrap()).unwrap();
    let code_1 = nix::sys::wait::WaitStatus::Exited(worker, 1);
    assert_eq!(status, code_1, "a worker should end by process::exit(1)");
    send(Signal::SIGCONT, cluster.primary);
    let Ended { status, lines, .. } = cluster.wait_for_end(DEADLINE);
    assert_eq!(status.code(), Some(0), "the primary should end well after its last worker");
    assert_eq!(lines, [""; 0], "step 01 says nothing of an exit");
}

#[test]
fn a_worker_that_nobody_asks_lives_on() {
    let cluster = Cluster::start(step("01_crash"), 2);
    cluster.assert_answers();
    until("the worker that answered should exit, and only that one", || {
        cluster.children().len() == 1
    });
    cluster.assert_answers();
}
