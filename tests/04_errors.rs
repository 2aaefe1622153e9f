//! Step 04: a mistake that was foreseen gets an answer; only one that nobody foresaw ends a worker.

use std::time::Duration;

use support::transcript::play_all;
use support::{Cluster, PAGE, Signal, assert_nothing, promises, step, until};

support::promises_of_every_program!("04_errors");
support::promises_of_every_cluster!("04_errors");
promises! { "04_errors":
    a_death_is_logged_even_if_sigchld_was_ignored_at_the_start
    a_console_that_nobody_reads_ends_it_quietly
    a_worker_without_descriptors_answers_again_or_ends
    #[cfg(target_os = "linux")] // No other system limits the threads of one process.
    a_worker_without_threads_answers_again_or_ends
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("04_");
}

#[test]
fn without_a_line_the_whole_page_is_served_for_every_method() {
    let cluster = Cluster::start(step("04_errors"), 1);
    cluster.assert_answer("GET", "/", 200, PAGE);
    cluster.assert_answer("POST", "/", 200, PAGE);
}

#[test]
fn each_line_can_be_asked_for() {
    let cluster = Cluster::start(step("04_errors"), 1);
    cluster.assert_answer("GET", "/1", 200, "<h1>Hello Node!</h1>");
    cluster.assert_answer("GET", "/2", 200, "<p>Hello Cluster!</p>");
}

#[test]
fn a_path_that_is_no_number_gets_status_400_and_ends_no_worker() {
    let mut cluster = Cluster::start(step("04_errors"), 2);
    let too_large = "/99999999999999999999";
    let wrong = ["/one", "/favicon.ico", "/-1", "/1.5", "/1/2", "/1st", "/?line=1", too_large];
    for path in wrong {
        let page = "<h1>Bad Request</h1><p>Ask for line 1 or 2.</p>";
        cluster.assert_answer("GET", path, 400, page);
    }
    let mut children: Vec<_> = cluster.children().iter().map(|child| child.pid).collect();
    children.sort();
    cluster.workers.sort();
    assert_eq!(children, cluster.workers, "a wrong request was foreseen, but it ended a worker");
    let end = cluster.end();
    assert_nothing(
        end.lines.iter().map(String::as_str).chain(end.stderr.lines()),
        "what was foreseen is no news for the console",
    );
}

#[test]
fn a_line_that_nobody_foresaw_ends_one_worker_with_code_101_and_another_takes_its_place() {
    let mut cluster = Cluster::start(step("04_errors"), 2);
    let mistakes = [
        ("/3", "index out of bounds: the len is 2 but the index is 2"),
        // A release build does not check the subtraction: there it is the index that is wrong.
        ("/0", if cfg!(debug_assertions) { "attempt to subtract with overflow" } else { "index" }),
        ("/18446744073709551615", "the len is 2 but the index is 18446744073709551614"),
    ];
    for (count, (path, message)) in mistakes.into_iter().enumerate() {
        let before = cluster.workers.clone();
        cluster.assert_no_answer(path);
        let (worker, how) = cluster.died();
        assert!(
            before.contains(&worker),
            "{worker} ended, which is none of the workers {before:?}"
        );
        assert_eq!(how, "code 101 signal null", "{path} should end its worker by a panic");
        let new = cluster.started();
        assert!(!before.contains(&new), "the replacement should be a new process");
        // A place and a message each.
        until("stderr should say what has happened", || {
            cluster.stderr().lines().count() == 2 * (count + 1)
        });
        let said: Vec<String> = cluster.stderr().lines().map(str::to_owned).collect();
        let [.., place, said] = &said[..] else { unreachable!("there are two lines at the least") };
        assert!(place.starts_with("panicked at steps/04_errors.rs:"), "{path} panics at {place}");
        assert!(said.contains(message), "{path} should end its worker by `{message}`, not {said}");
    }
    assert_eq!(cluster.children().len(), 2, "each worker that ended should be replaced, once");
    cluster.assert_answers();
}

#[test]
fn a_worker_that_is_killed_is_logged_and_replaced() {
    let mut cluster = Cluster::start(step("04_errors"), 1);
    let worker = cluster.workers[0];
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, "code null signal SIGKILL");
    cluster.started();
    cluster.assert_answers();
}

#[test]
fn a_worker_that_has_answered_lives_on() {
    let mut cluster = Cluster::start(step("04_errors"), 1);
    cluster.assert_answers();
    // In the steps before, it exits one second after its first answer.
    let said = cluster.next_line(Duration::from_millis(1_500));
    assert_nothing(said, "the clock of step 01 should be gone");
    cluster.assert_answers();
}
