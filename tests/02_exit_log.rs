//! Step 02: the primary logs each worker that has ended, with its code and signal.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use support::transcript::play_all;
use support::{
    Cluster, Console, DEADLINE, Ended, OrFail, Signal, assert_nothing, assert_says, assert_status,
    console_says, is_dead, step, until, who_started,
};

support::promises_of_every_program!("02_exit_log");
support::promises_of_every_cluster!("02_exit_log");
support::promises! { "02_exit_log":
    a_console_that_nobody_reads_ends_it
    the_page_is_the_same_for_every_path_and_method
    a_worker_exits_one_second_after_its_first_answer_however_often_it_is_asked
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("02_");
}

#[test]
fn an_exit_is_logged_with_its_code_and_no_signal() {
    let mut cluster = Cluster::start(step("02_exit_log"), 1);
    let worker = cluster.workers[0];
    cluster.assert_answers();
    cluster.dies(worker, "code 1 signal null");
    let Ended { status, lines, .. } = cluster.wait_for_end();
    assert_status(status, 0);
    assert_nothing(&lines, "each death should be logged once");
}

#[test]
fn a_death_by_any_signal_is_logged_with_the_name_of_the_signal() {
    // These end no process by default: signal(7).
    use Signal::{SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
    let harmless = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH];
    // And a Rust program ignores this one, until step 04 takes the default.
    let harmless = [&harmless[..], &[Signal::SIGPIPE]].concat();
    let deadly = Signal::iterator().filter(|signal| !harmless.contains(signal));
    #[cfg(target_os = "macos")]
    let deadly = deadly.filter(|signal| *signal != Signal::SIGINFO);
    let deadly: Vec<Signal> = deadly.collect();
    let mut cluster = Cluster::start(step("02_exit_log"), deadly.len());
    for (worker, signal) in cluster.workers.clone().into_iter().zip(deadly) {
        cluster.send(signal, worker);
        // Rust's stack-overflow handler swallows the first SIGSEGV or SIGBUS that is sent.
        if [Signal::SIGSEGV, Signal::SIGBUS].contains(&signal) {
            until("the default should end it", || {
                cluster.try_send(signal as i32, worker).is_err() || is_dead(worker)
            });
        }
        cluster.dies(worker, &format!("code null signal {signal}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_death_by_a_real_time_signal_is_not_lost_though_nix_cannot_say_whose_it_was() {
    let mut cluster = Cluster::start(step("02_exit_log"), 2);
    cluster.try_send(nix::libc::SIGRTMIN(), cluster.workers[0]).or_fail("the worker should live");
    assert_says(&cluster.line(), "?번 워커가 종료되었습니다");
    assert_says(&cluster.line(), "code null signal SIGRT");
    cluster.assert_answers();
}

#[test]
fn the_two_lines_of_a_death_are_one_write() {
    // Each write to a datagram socket is a message of its own.
    let (console, writer) = UnixDatagram::pair().unwrap();
    console.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = step("02_exit_log");
    command.env("WORKERS", "1");
    let mut cluster = Cluster::spawn(command, Console::Own(Stdio::from(OwnedFd::from(writer))));
    let write = || {
        let mut text = [0; 4096];
        let length = console.recv(&mut text);
        console_says(length, &text)
    };
    assert_says(&write(), &format!("마스터 프로세스 아이디: {}\n", cluster.primary));
    let worker = who_started(&write());
    cluster.send(Signal::SIGKILL, worker);
    let death = format!("{worker}번 워커가 종료되었습니다\ncode null signal SIGKILL\n");
    // Both lines should be one write, so that nothing lands between.
    assert_says(&write(), &death);
    assert_status(cluster.wait_for_end().status, 0);
}
