//! Each step and its Node twin print and serve the same; and where the book says that Node does
//! otherwise, it does.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::transcript::{Program, play};
use support::{Cluster, DEADLINE, Ended, Port, is_dead, node, send, step, until};

/// Plays scenes of the steps' own with the Node twins: what the book shows of the one is true of
/// the other.
macro_rules! node_plays_the_scenes_of {
    ($($test:ident: $($scene:literal)*;)*) => {
        $(#[test]
        #[ignore = "needs node: Node.js 20 or newer"]
        fn $test() {
            $(play($scene, Program::NodeTwin);)*
        })*
    };
}

node_plays_the_scenes_of! {
    node_prints_the_console_of_step_00: "00_fork" "00_last_worker" "00_primary_killed";
    node_prints_the_console_of_step_01: "01_crash" "01_killed";
    node_prints_the_console_of_step_02: "02_exit_log" "02_interrupt";
    node_prints_the_console_of_step_03: "03_respawn" "03_primary_killed";
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_serves_the_page_of_the_steps() {
    for name in ["00_fork", "01_crash", "02_exit_log", "03_respawn"] {
        let rust = Cluster::start(step(name), 1).get().expect("the step answers");
        let node = Cluster::start(node(name), 1).get().expect("its Node twin answers");
        assert_eq!(rust, node, "{name}: the pages should be the same");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_hands_out_connections_in_turn_and_the_primary_alone_listens() {
    let cluster = Cluster::start(node("00_fork"), 2);
    // A worker that sleeps is given its connection all the same: nobody else can take it.
    send(Signal::SIGSTOP, cluster.workers[0]);
    let answered = |_| {
        let mut client = TcpStream::connect(("127.0.0.1", cluster.port.number)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).is_ok() && answer.ends_with("</p>")
    };
    let mut answers: Vec<bool> = (0..2).map(answered).collect();
    answers.sort();
    assert_eq!(answers, [false, true], "one of two connections in turn waits for the sleeper");
    send(Signal::SIGCONT, cluster.workers[0]);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_tells_a_taken_port_once_for_each_worker_and_the_primary_ends_well() {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = node("00_fork");
    command.env("PORT", port.number.to_string()).env("WORKERS", "2");
    let Ended { status, stderr, .. } = Cluster::spawn(command).wait_for_end(DEADLINE);
    assert_eq!(stderr.matches("EADDRINUSE 127.0.0.1").count(), 2, "{stderr}");
    assert_eq!(status.code(), Some(0));
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_respawns_for_ever_where_the_port_is_taken() {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = node("03_respawn");
    command.env("PORT", port.number.to_string()).env("WORKERS", "1");
    let mut cluster = Cluster::spawn(command);
    cluster.line();
    for _ in 0..3 {
        assert_eq!(cluster.died().1, "code 1 signal null", "each worker should fail anew");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_refuses_clients_while_every_worker_is_dead() {
    let cluster = Cluster::start(node("02_exit_log"), 1);
    send(Signal::SIGKILL, cluster.workers[0]);
    until("the worker should be dead", || is_dead(cluster.workers[0]));
    until("the primary should close the port", || cluster.get().is_err());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_takes_a_death_by_a_real_time_signal_for_an_exit_with_code_0() {
    let mut cluster = Cluster::start(node("02_exit_log"), 1);
    let worker = cluster.workers[0];
    // SAFETY: kill(2) takes any numbers.
    unsafe { nix::libc::kill(worker.as_raw(), nix::libc::SIGRTMIN()) };
    assert_eq!(cluster.died(), (worker, "code 0 signal null".to_owned()));
}
