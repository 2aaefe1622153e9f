//! Step 00: one worker for each CPU, and all of them answer on one port.

use support::transcript::play_all;
use support::{Cluster, Ended, Signal, assert_nothing, assert_status, step, until};

support::promises_of_every_program!("00_fork");
support::promises_of_every_cluster!("00_fork");
support::promises! { "00_fork":
    a_console_that_nobody_reads_ends_it
    the_page_is_the_same_for_every_path_and_method
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("00_");
}

#[test]
fn an_exit_is_not_logged_and_leaves_no_zombie() {
    let mut cluster = Cluster::start(step("00_fork"), 2);
    cluster.send(Signal::SIGKILL, cluster.workers[0]);
    until("a dead worker should not stay as a zombie", || cluster.children().len() == 1);
    cluster.assert_answers();
    assert_nothing(cluster.end().lines, "step 00 says nothing of an exit");
}

#[test]
fn a_worker_goes_on_after_it_has_answered() {
    let cluster = Cluster::start(step("00_fork"), 1);
    for _ in 0..100 {
        cluster.assert_answers();
    }
}

#[test]
fn the_primary_ends_with_status_0_after_the_last_worker() {
    let mut cluster = Cluster::start(step("00_fork"), 2);
    for worker in cluster.workers.clone() {
        cluster.send(Signal::SIGTERM, worker);
    }
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_status(status, 0);
    assert_nothing(&lines, "step 00 says nothing of an exit");
    assert_nothing(stderr.lines(), "nothing went wrong, so stderr should be empty");
}
