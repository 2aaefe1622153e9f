//! Step 13: a visitor is remembered in the memory of a worker.

use support::promises::{Visit, Visitor};
use support::transcript::play_all;
use support::{Cluster, Signal, step};

support::promises_of_every_session!("13_session");
support::promises! { "13_session":
    who_sends_three_megabytes_that_nobody_reads_is_answered
    while_workers_come_and_go_under_load_no_request_is_lost
    kills_under_load_lose_nothing_but_what_the_dead_had
    twenty_reloads_under_load_lose_no_request
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("13_");
}

#[test]
fn with_two_workers_and_a_connection_each_every_worker_counts_for_itself() {
    let cluster = Cluster::start(step("13_session"), 2);
    let mut visitor = Visitor::new(&cluster);
    let visits: Vec<Visit> = (0..6).map(|_| visitor.visit()).collect();
    let counts: Vec<u64> = visits.iter().map(|visit| visit.count).collect();
    assert_eq!(counts, [1, 1, 2, 2, 3, 3], "each of two workers should count for itself");
    assert_ne!(visits[0].worker, visits[1].worker, "two workers should have answered in turn");
}

#[test]
fn with_its_worker_all_visitors_are_forgotten_but_their_ids_stay() {
    let kill = |cluster: &mut Cluster| {
        let worker = cluster.workers[0];
        cluster.send(Signal::SIGKILL, worker);
        cluster.dies(worker, "code null signal SIGKILL");
        cluster.started();
    };
    let reload = |cluster: &mut Cluster| {
        cluster.send(Signal::SIGHUP, cluster.primary);
        cluster.replaced(1);
    };
    for replace in [kill as fn(&mut Cluster), reload] {
        let mut cluster = Cluster::start(step("13_session"), 1);
        let mut visitors = [(); 3].map(|()| Visitor::new(&cluster));
        for visitor in &mut visitors {
            assert_eq!(visitor.counts(3), [1, 2, 3], "the page should count the visits");
        }
        replace(&mut cluster);
        for visitor in &mut visitors {
            let id = visitor.id.clone();
            assert_eq!(visitor.counts(2), [1, 2], "what a worker remembers goes with it");
            assert_eq!(visitor.id, id, "the id is the visitor's, and goes with nobody");
        }
    }
}
