//! The aside on threads: one process, one memory; a panic ends one thread, an exit all of them.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use support::transcript::play_all;
use support::{
    Cluster, Console, Ended, OrFail, PAGE, REQUEST, Signal, answer, assert_nothing, assert_status,
    connect, side_by_side, step,
};

support::promises_of_every_program!("threads");
support::promises! { "threads": a_console_that_nobody_reads_ends_it }

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("threads");
}

#[test]
fn all_threads_are_one_process() {
    let mut cluster = Cluster::start(step("threads"), 3);
    let (process, workers) = (cluster.primary, cluster.workers.clone());
    assert_eq!(workers, [process; 3], "each thread should name its process, {process}");
    assert_eq!(cluster.children(), [], "a thread is no child process");
    let Ended { lines, stderr, .. } = cluster.end();
    assert_nothing(&lines, "with WORKERS=3 the console should have ended after three threads");
    assert_nothing(stderr.lines(), "nothing went wrong, so stderr should be empty");
}

#[test]
fn without_workers_set_there_is_one_thread_for_each_cpu() {
    let mut command = step("threads");
    command.env_remove("WORKERS");
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.introduced();
    for _ in 0..num_cpus::get() {
        cluster.started();
    }
    cluster.assert_answers();
    assert_nothing(cluster.end().lines, "without WORKERS there should be one thread a CPU");
}

#[test]
fn all_threads_count_in_one_memory_and_lose_nothing() {
    let cluster = Cluster::start(step("threads"), 4);
    let port = cluster.port.number;
    let ask = || {
        let mut client = connect(port);
        client.write_all(REQUEST).or_fail("the connection should be open");
        let page = answer(&mut client).or_fail("a thread should answer").body;
        let number = page.strip_prefix(PAGE).and_then(|rest| rest.strip_prefix("<p>"));
        let number = number.and_then(|rest| rest.strip_suffix("</p>")?.parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("the page should end in a number: {page}"))
    };
    let served = side_by_side(0..8, |_| (0..50).map(|_| ask()).collect::<Vec<usize>>()).concat();
    let missing: Vec<usize> = (1..=400).filter(|number| !served.contains(number)).collect();
    assert_eq!(
        missing,
        [],
        "8 clients asked 50 times each, so every number from 1 to 400 should come once. These did \
         not come, and others came twice"
    );
}

#[test]
fn a_panic_ends_one_thread_and_nobody_replaces_it() {
    let mut cluster = Cluster::start(step("threads"), 2);
    panic_in_one_thread(&cluster);
    cluster.assert_answers();
    panic_in_one_thread(&cluster);
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_eq!(stderr.matches("panicked at steps/threads.rs:").count(), 2, "{stderr}");
    assert_nothing(&lines, "nobody should replace a thread");
    assert_status(status, 0);
}

#[test]
fn an_exit_in_one_thread_ends_them_all() {
    let mut cluster = Cluster::start(step("threads"), 3);
    cluster.assert_no_answer("/exit");
    let Ended { status, lines, stderr } = cluster.wait_for_end();
    assert_status(status, 1);
    assert_nothing(
        lines.iter().map(String::as_str).chain(stderr.lines()),
        "nobody is left to log anything",
    );
}

#[test]
fn a_signal_ends_them_all() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP] {
        let mut cluster = Cluster::start(step("threads"), 3);
        cluster.send(signal, cluster.primary);
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        assert_eq!(status.signal(), Some(signal as i32), "{signal} should end the process");
        assert_nothing(
            lines.iter().map(String::as_str).chain(stderr.lines()),
            "nobody is left to log anything",
        );
    }
}

/// The panic drops the request, and tiny_http answers one that is dropped with status 500.
fn panic_in_one_thread(cluster: &Cluster) {
    let page = cluster.get("/panic").or_fail("/panic should end one thread, and not the program");
    assert_eq!(page.status, 500, "/panic should be answered with status 500");
}
