//! Step 05: the primary accepts each connection and hands it to a worker.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::transcript::play_all;
use support::{
    Cluster, Console, Ended, OrFail, PAGE, Signal, answer, assert_deaths, assert_nothing,
    assert_status, connect, descriptors, is_dead, is_stopped, step, until,
};

support::promises_of_every_program!("05_handoff");
support::promises! { "05_handoff":
    the_page_is_the_same_for_every_path_and_method
    one_primary_starts_as_many_workers_as_asked_for
    without_workers_set_there_is_one_for_each_cpu
    no_worker_outlives_a_primary_that_was_killed
    no_worker_outlives_a_primary_that_was_terminated
    no_worker_outlives_a_primary_that_was_interrupted
    no_worker_outlives_a_primary_that_was_hung_up
    a_primary_that_cannot_fork_says_so_in_one_line_and_ends
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
    #[cfg(target_os = "linux")] // /proc says who has a connection.
    a_thousand_connections_one_after_another_go_to_four_workers_in_turn
    six_connections_to_one_worker_are_answered_while_all_stay_open
    a_worker_that_is_stopped_and_killed_loses_no_client
    while_a_worker_stays_stopped_the_others_answer_all_that_comes_later
    no_stopped_worker_outlives_a_primary_that_was_told_to_end
    #[cfg(target_os = "linux")] // No other system can tell a worker that is stopped.
    no_stopped_worker_outlives_a_primary_that_was_killed
    a_child_that_is_not_its_own_is_not_logged
    a_worker_that_nobody_started_says_so_and_ends
    five_hundred_connections_with_64_descriptors_are_answered_in_part_and_then_again
    a_header_that_is_not_ascii_is_answered
    http_1_0_keeps_a_connection_where_it_is_asked_to_and_says_so
    a_client_that_resets_its_connection_is_not_worth_a_word
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("05_");
}

#[test]
fn the_primary_alone_listens() {
    let cluster = Cluster::start(step("05_handoff"), 2);
    // A worker that had the listening socket would keep the port after its primary.
    for worker in &cluster.workers {
        cluster.send(Signal::SIGSTOP, *worker);
        until("the worker should be stopped", || is_stopped(*worker));
    }
    let before = cluster.workers.iter().map(|worker| descriptors(*worker).len()).max();
    let clients: Vec<TcpStream> = (0..8).map(|_| connect(cluster.port.number)).collect();
    let after = cluster.workers.iter().map(|worker| descriptors(*worker).len()).max();
    assert_eq!(before, after, "a worker that is stopped takes no connection");
    until("the primary should hold what no worker has confirmed", || {
        descriptors(cluster.primary).len() >= clients.len()
    });
}

#[test]
fn three_hundred_rounds_of_kills_lose_no_worker_no_line_no_descriptor_and_no_waiting_request() {
    use Signal::{SIGABRT, SIGALRM, SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1};
    let signals = [SIGABRT, SIGALRM, SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1];
    let seed = fastrand::get_seed();
    println!("fastrand::seed({seed}) repeats these rounds");
    let mut cluster = Cluster::start(step("05_handoff"), 3);
    cluster.assert_answers();
    let before = descriptors(cluster.primary);
    let clients = Clients::default();
    let port = cluster.port.number;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| clients.ask_all_the_time(port));
        }
        // However this ends, they end too.
        let _end = EndOf(&clients);
        let start = Instant::now();
        for round in 0..300 {
            assert!(start.elapsed() < LONG, "after {LONG:?} it is only round {round} of 300");
            one_round(&mut cluster, &signals, &clients);
        }
    });
    let Clients { answered, lost, kills, .. } = clients;
    let (answered, lost, kills) =
        (answered.into_inner().unwrap(), lost.into_inner().unwrap(), kills.into_inner().unwrap());
    println!("{answered} answered, {} lost by the death of their worker", lost.len());
    assert!(answered > 300, "the clients should have asked all the time: {answered} were answered");
    for (asked, end) in lost {
        assert!(
            kills.iter().any(|(sent, dead)| asked < *dead && *sent < end),
            "a request was lost while no worker was killed"
        );
    }

    let children = cluster.children();
    let zombies = children.iter().filter(|child| child.state == 'Z').count();
    assert_eq!(zombies, 0, "a worker that died stays as a zombie");
    assert_eq!(children.len(), 3, "WORKERS=3, but the primary has another number of workers now");
    until("the primary should hold the descriptors it began with, and no more", || {
        descriptors(cluster.primary).len() <= before.len()
    });
    let fresh = descriptors(Cluster::start(step("05_handoff"), 1).workers[0]).len();
    for worker in &cluster.workers {
        until("a worker should have closed the connections that its clients have left", || {
            descriptors(*worker).len() == fresh
        });
    }
    cluster.assert_answers();
    assert_nothing(cluster.end().stderr.lines(), "stderr should be empty");
}

/// Kills one to three workers. In every second round they are stopped before, and then clients come:
/// these connections can have reached only a worker that is not killed, or none. So none is lost.
fn one_round(cluster: &mut Cluster, signals: &[Signal], clients: &Clients) {
    let victims = fastrand::choose_multiple(cluster.workers.clone(), fastrand::usize(1..=3));
    let mut waiting = Vec::new();
    let stopped = fastrand::bool();
    if stopped {
        for worker in &victims {
            cluster.send(Signal::SIGSTOP, *worker);
            until("the worker should be stopped", || is_stopped(*worker));
        }
        for _ in 0..4 {
            let mut client = connect(cluster.port.number);
            client.write_all(REQUEST).or_fail("the connection should be open");
            waiting.push(client);
        }
    }
    let mut expected = BTreeSet::new();
    for worker in &victims {
        // Any other signal waits until a worker goes on that is stopped.
        let any = fastrand::choice(signals.iter().copied()).unwrap();
        let signal = if stopped { Signal::SIGKILL } else { any };
        let sent = Instant::now();
        cluster.send(signal, *worker);
        until("a worker that was sent a signal should be dead", || is_dead(*worker));
        clients.kills.lock().unwrap().push((sent, Instant::now()));
        expected.insert((*worker, format!("code null signal {signal}")));
    }
    let deaths = cluster.replaced(victims.len());
    assert_deaths(&deaths, &expected);
    for mut client in waiting {
        answer(&mut client).or_fail("a connection that no worker had taken should be answered");
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// How long the three hundred rounds may take.
const LONG: Duration = Duration::from_secs(50);

/// Clients that ask all the time, each over a new connection.
#[derive(Default)]
struct Clients {
    end: AtomicBool,
    answered: Mutex<usize>,
    /// When those began and ended that got no answer.
    lost: Mutex<Vec<(Instant, Instant)>>,
    /// When workers were sent a signal, and when they were dead.
    kills: Mutex<Vec<(Instant, Instant)>>,
}

impl Clients {
    fn ask_all_the_time(&self, port: u16) {
        while !self.end.load(Ordering::Relaxed) {
            let asked = Instant::now();
            // The primary listens all the time: nobody is refused.
            let mut client = connect(port);
            let mut answer = String::new();
            let _ = client.write_all(REQUEST).and_then(|()| client.read_to_string(&mut answer));
            if answer.ends_with(PAGE) {
                *self.answered.lock().unwrap() += 1;
            } else {
                self.lost.lock().unwrap().push((asked, Instant::now()));
            }
        }
    }
}

struct EndOf<'a>(&'a Clients);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::Relaxed);
    }
}

/// In a namespace of its own the primary is process 1, as in a container: there a signal for which
/// a process has no handler does nothing.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs unshare: util-linux, and the right to make a namespace for process ids"]
fn as_process_1_it_ends_by_term_and_by_ctrl_c() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = Command::new("unshare");
        if !support::is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(step("05_handoff").get_program()).env("WORKERS", "2");
        let mut cluster = Cluster::spawn(command, Console::Read);
        assert_eq!(cluster.line(), "마스터 프로세스 아이디: 1", "the primary should be process 1");
        cluster.started();
        cluster.started();
        let primary = cluster.children()[0].pid;
        cluster.send(signal, primary);
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        assert_nothing(
            lines.iter().map(String::as_str).chain(stderr.lines()),
            "nothing should be said",
        );
        assert_status(status, 128 + signal as i32);
        assert!(is_dead(primary));
    }
}
