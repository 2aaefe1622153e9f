//! Step 09: who keeps a connection is told that it ends, and has a second.

use support::transcript::play_all;

support::promises_of_every_server!("09_keepalive");
support::promises! { "09_keepalive":
    the_page_is_the_same_for_every_path_and_method
    one_primary_starts_as_many_workers_as_asked_for
    no_worker_outlives_a_primary_that_was_killed
    told_to_end_it_answers_what_has_begun
    who_keeps_a_connection_and_asks_for_nothing_is_waited_for_a_second
    who_asks_again_within_that_second_is_answered_for_the_last_time
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("09_");
}
