//! Step 05: an event loop in each process; a worker is sent the listening socket.

use std::net::TcpStream;

use support::promises::{asks, stop};
use support::transcript::play_all;
use support::{Cluster, OrFail, answer, connect, step, until};

support::promises_of_every_program!("05_loop");
support::promises_of_every_cluster!("05_loop");
support::promises! { "05_loop":
    the_page_is_the_same_for_every_path_and_method
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
    a_hup_that_was_ignored_at_the_start_stays_ignored
    six_connections_to_one_worker_are_answered_while_all_stay_open
    no_stopped_worker_outlives_a_primary_that_was_told_to_end
    #[cfg(target_os = "linux")] // No other system can tell a worker that is stopped.
    no_stopped_worker_outlives_a_primary_that_was_killed
    a_child_that_is_not_its_own_is_not_logged
    a_worker_that_nobody_started_says_so_and_ends
    #[cfg(target_os = "linux")] // /proc says what a worker has open.
    a_program_that_a_worker_starts_would_inherit_nothing
    five_hundred_connections_with_64_descriptors_are_answered_in_part_and_then_again
    a_header_that_is_not_ascii_is_answered
    http_1_0_keeps_a_connection_where_it_is_asked_to_and_says_so
    who_closes_its_sending_side_is_answered
    who_sends_three_megabytes_that_nobody_reads_is_answered
    the_second_of_two_requests_in_one_segment_is_not_late
    a_client_that_resets_its_connection_is_not_worth_a_word
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("05_");
}

/// The kernel offers a connection to all who wait for one, and a worker that is stopped takes none.
#[test]
fn while_a_worker_stays_stopped_the_others_answer_everybody() {
    let cluster = Cluster::start(step("05_loop"), 3);
    stop(&cluster, &cluster.workers[..1]);
    let clients: Vec<TcpStream> = (0..20).map(|_| asks(&cluster)).collect();
    for (at, mut client) in clients.into_iter().enumerate() {
        answer(&mut client).or_fail(&format!("client {} of 20 should be answered", at + 1));
    }
}

/// It is sent to each worker, and inherited by none: then a worker would have it twice.
#[cfg(target_os = "linux")]
#[test]
fn the_listening_socket_is_sent_to_each_worker_once() {
    use std::fs;

    let cluster = Cluster::start(step("05_loop"), 2);
    for worker in &cluster.workers {
        // A worker may run before the primary has closed what was that worker's end of the channel.
        until("of the primary's sockets a worker should have this one, once", || {
            let of_primary = support::sockets(cluster.primary);
            let folder = fs::read_dir(format!("/proc/{worker}/fd")).expect("it has descriptors");
            let targets = folder.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
            let shared = targets.filter(|it| it.to_str().is_some_and(|it| of_primary.contains(it)));
            shared.count() == 1
        });
    }
}

/// Its workers are many in one process, and take turns: a thread for each would be more.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_with_a_hundred_connections_has_one_thread() {
    let cluster = Cluster::start(step("05_loop"), 1);
    let clients: Vec<TcpStream> = (0..100).map(|_| connect(cluster.port.number)).collect();
    cluster.assert_answers();
    let threads =
        std::fs::read_dir(format!("/proc/{}/task", cluster.workers[0])).expect("it lives");
    assert_eq!(threads.count(), 1, "{} connections should be served by one thread", clients.len());
}
