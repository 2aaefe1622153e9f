//! Each step and its Node twin print and serve the same; and where the book says that Node does
//! otherwise, it does.

use std::io::{Read, Write};
use std::net::TcpListener;

use support::transcript::{Program, play, play_all_of_node};
use support::{
    Cluster, Console, Ended, Port, Signal, connect, descriptors, is_dead, is_stopped, node, step,
    until,
};

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
    node_prints_the_console_of_step_04: "04_errors";
    node_prints_the_console_of_step_05: "05_handoff" "05_interrupt";
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_prints_the_consoles_that_are_its_alone() {
    play_all_of_node();
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_serves_the_page_of_the_steps() {
    let steps = ["00_fork", "01_crash", "02_exit_log", "03_respawn", "04_errors", "threads"];
    let beyond: &[&str] = if cfg!(feature = "beyond") { &["05_handoff"] } else { &[] };
    for name in steps.iter().chain(beyond) {
        let rust = Cluster::start(step(name), 1).get("/").expect("the step answers");
        let node = Cluster::start(node(name), 1).get("/").expect("its Node twin answers");
        assert_eq!(rust, node, "{name}: the pages should be the same");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_answers_what_step_04_foresees_as_the_step_does() {
    let rust = Cluster::start(step("04_errors"), 1);
    let node = Cluster::start(node("04_errors"), 1);
    let lines = ["/1", "/2", "/02", "//2"];
    let wrong = ["/one", "/-1", "/1.5", "/1/2", "/1st", "/?line=1", "/favicon.ico"];
    for path in lines.into_iter().chain(wrong) {
        let [rust, node] = [&rust, &node].map(|it| it.get(path).expect("it should be answered"));
        assert_eq!(rust, node, "{path}: the answers should be the same");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_has_numbers_so_large_that_rust_has_none_for_them() {
    let path = "/99999999999999999999";
    let mut node = Cluster::start(node("04_errors"), 1);
    assert!(node.get(path).is_err(), "there is no such line, and the worker should end");
    assert_eq!(node.died().1, "code 1 signal null");
    let rust = Cluster::start(step("04_errors"), 1).get(path).expect("it is no number here");
    assert_eq!(rust.status, 400);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn a_node_thread_counts_as_those_of_rust_do() {
    let rust = Cluster::start(step("threads"), 1);
    let node = Cluster::start(node("threads"), 1);
    for _ in 0..3 {
        let [rust, node] = [&rust, &node].map(|it| it.get("/").expect("a thread answers").body);
        assert_eq!(rust, node, "the pages should be the same, and count");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_hands_out_connections_in_turn_and_the_primary_alone_listens() {
    let cluster = Cluster::start(node("00_fork"), 2);
    // A worker that sleeps is given its connection all the same: nobody else can take it.
    cluster.send(Signal::SIGSTOP, cluster.workers[0]);
    until("the worker should be stopped", || is_stopped(cluster.workers[0]));
    let mut clients = [connect(cluster.port.number), connect(cluster.port.number)];
    let mut answers = [String::new(), String::new()];
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        client.set_nonblocking(true).unwrap();
    }
    let mut read = || {
        for (client, answer) in clients.iter_mut().zip(&mut answers) {
            let _ = client.read_to_string(answer);
        }
        answers.iter().filter(|answer| answer.ends_with("</p>")).count()
    };
    until("the worker that is awake should answer", || read() > 0);
    for _ in 0..10 {
        cluster.assert_answers();
    }
    assert_eq!(read(), 1, "one of two connections in turn should wait for the sleeper");
    cluster.send(Signal::SIGCONT, cluster.workers[0]);
    until("the sleeper should answer once it is awake", || read() == 2);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_leaves_a_client_waiting_whose_worker_was_stopped_and_killed() {
    let mut cluster = Cluster::start(node("05_handoff"), 1);
    let worker = cluster.workers[0];
    cluster.assert_answers();
    cluster.send(Signal::SIGSTOP, worker);
    until("the worker should be stopped", || is_stopped(worker));
    let mut client = connect(cluster.port.number);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    // Once the primary has accepted it, and so handed it over, nobody else will get it.
    let before = descriptors(cluster.primary).len();
    let other = connect(cluster.port.number);
    until("the primary should have accepted the next connection", || {
        descriptors(cluster.primary).len() > before
    });
    cluster.send(Signal::SIGKILL, worker);
    assert_eq!(cluster.died(), (worker, "code null signal SIGKILL".to_owned()));
    cluster.started();
    for _ in 0..20 {
        cluster.assert_answers();
    }
    client.set_nonblocking(true).unwrap();
    let answer = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(
        answer,
        Err(std::io::ErrorKind::WouldBlock),
        "it should be neither answered nor closed"
    );
    drop(other);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_tells_a_taken_port_once_for_each_worker_and_the_primary_ends_well() {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = node("00_fork");
    command.env("PORT", port.number.to_string()).env("WORKERS", "2");
    let mut cluster = Cluster::spawn(command, Console::Read);
    let Ended { status, stderr, .. } = cluster.wait_for_end();
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
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.line();
    for _ in 0..3 {
        assert_eq!(cluster.died().1, "code 1 signal null", "each worker should fail anew");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_refuses_clients_while_every_worker_is_dead() {
    let cluster = Cluster::start(node("02_exit_log"), 1);
    cluster.send(Signal::SIGKILL, cluster.workers[0]);
    until("the worker should be dead", || is_dead(cluster.workers[0]));
    until("the primary should close the port", || cluster.get("/").is_err());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_takes_a_death_by_a_real_time_signal_for_an_exit_with_code_0() {
    let mut cluster = Cluster::start(node("02_exit_log"), 1);
    let worker = cluster.workers[0];
    cluster.try_send(nix::libc::SIGRTMIN(), worker).expect("the worker lives");
    assert_eq!(cluster.died(), (worker, "code 0 signal null".to_owned()));
}
