//! Step 06: the primary accepts each connection and hands it to a worker.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use support::promises::{Load, asks, nothing_is_left_of_the_dead, stop};
use support::transcript::play_all;
use support::{
    Cluster, Console, Ended, OrFail, Signal, answer, assert_deaths, assert_nothing, assert_status,
    connect, descriptors, is_dead, step, until,
};

support::promises_of_every_program!("06_handoff");
support::promises! { "06_handoff":
    one_primary_starts_as_many_workers_as_asked_for
    no_worker_outlives_a_primary_that_was_killed
    no_worker_outlives_a_primary_that_was_terminated
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
    #[cfg(target_os = "linux")] // /proc says who has a connection.
    a_thousand_connections_one_after_another_go_to_four_workers_in_turn
    six_connections_to_one_worker_are_answered_while_all_stay_open
    a_worker_that_is_stopped_and_killed_loses_no_client
    while_a_worker_stays_stopped_the_others_answer_all_that_comes_later
    no_stopped_worker_outlives_a_primary_that_was_told_to_end
    #[cfg(target_os = "linux")] // /proc says what a worker has open.
    a_program_that_a_worker_starts_would_inherit_nothing
    #[cfg(target_os = "linux")] // Other systems count them in another way.
    a_connection_that_cannot_be_sent_is_answered_once_it_can
    #[cfg(target_os = "linux")]
    more_workers_can_be_had_than_the_soft_limit_has_descriptors_for
    five_hundred_connections_with_64_descriptors_are_answered_in_part_and_then_again
    who_closes_its_sending_side_is_answered
    who_sends_three_megabytes_that_nobody_reads_is_answered
    the_second_of_two_requests_in_one_segment_is_not_late
    a_client_that_resets_its_connection_is_not_worth_a_word
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("05_");
}

#[test]
fn the_primary_alone_listens() {
    let cluster = Cluster::start(step("06_handoff"), 2);
    #[cfg(target_os = "linux")]
    for worker in &cluster.workers {
        // A worker may run before the primary has closed what was that worker's end of the channel.
        until("a worker should have none of the primary's sockets", || {
            support::sockets(cluster.primary).is_disjoint(&support::sockets(*worker))
        });
    }
    // A worker that had the listening socket would keep the port after its primary.
    stop(&cluster, &cluster.workers);
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
    let seed = fastrand::get_seed();
    println!("fastrand::seed({seed}) repeats these rounds");
    let mut cluster = Cluster::start(step("06_handoff"), 3);
    cluster.assert_answers();
    let before = descriptors(cluster.primary).len();
    let load = Load::default();
    load.during(cluster.port.number, (0, 3), || {
        let start = Instant::now();
        for round in 0..300 {
            assert!(start.elapsed() < LONG, "after {LONG:?} it is only round {round} of 300");
            one_round(&mut cluster, &load);
        }
    });
    load.assert_lost_to_kills_alone(300);
    nothing_is_left_of_the_dead("06_handoff", &cluster, 3, before);
    cluster.assert_answers();
    assert_nothing(cluster.end().stderr.lines(), "stderr should be empty");
}

/// How long the three hundred rounds may take.
const LONG: Duration = Duration::from_secs(50);

/// Kills one to three workers. In every second round they are stopped before, and then clients come:
/// these connections can have reached only a worker that is not killed, or none. So none is lost.
fn one_round(cluster: &mut Cluster, load: &Load) {
    use Signal::{SIGABRT, SIGALRM, SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1};
    let signals = [SIGABRT, SIGALRM, SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1];
    let victims = fastrand::choose_multiple(cluster.workers.clone(), fastrand::usize(1..=3));
    let mut waiting = Vec::new();
    let stopped = fastrand::bool();
    if stopped {
        stop(cluster, &victims);
        waiting.extend((0..4).map(|_| asks(cluster)));
    }
    let mut expected = BTreeSet::new();
    for worker in &victims {
        // Any other signal waits until a worker goes on that is stopped.
        let any = fastrand::choice(signals).unwrap();
        let signal = if stopped { SIGKILL } else { any };
        load.kill(cluster, *worker, signal);
        expected.insert((*worker, format!("code null signal {signal}")));
    }
    let deaths = cluster.replaced(victims.len());
    assert_deaths(&deaths, &expected);
    for mut client in waiting {
        answer(&mut client).or_fail("a connection that no worker had taken should be answered");
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
        command.arg(step("06_handoff").get_program()).env("WORKERS", "2");
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
