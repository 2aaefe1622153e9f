//! Step 01: each worker exits with code 1, one second after its first answer.

use support::transcript::play_all;
use support::{Cluster, assert_nothing, assert_status, step, until};

support::promises_of_every_program!("01_crash");
support::promises_of_every_cluster!("01_crash");
support::promises! { "01_crash":
    a_console_that_nobody_reads_ends_it
    the_page_is_the_same_for_every_path_and_method
    a_worker_exits_one_second_after_its_first_answer_however_often_it_is_asked
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("01_");
}

/// On macOS, chapter 02's log shows the code.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_exits_with_code_1() {
    use nix::sys::wait::WaitStatus::Exited;
    use support::{Ended, Signal, zombie_status};

    let mut cluster = Cluster::start(step("01_crash"), 1);
    let worker = cluster.workers[0];
    // A primary that is stopped cannot reap: the worker stays a zombie, with its status to read.
    cluster.send(Signal::SIGSTOP, cluster.primary);
    cluster.assert_answers();
    let mut status = None;
    until("the worker should exit", || {
        status = zombie_status(worker);
        status.is_some()
    });
    assert_eq!(status, Some(Exited(worker, 1)), "a worker should end by process::exit(1)");
    cluster.send(Signal::SIGCONT, cluster.primary);
    let Ended { status, lines, .. } = cluster.wait_for_end();
    assert_status(status, 0);
    assert_nothing(&lines, "step 01 says nothing of an exit");
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
