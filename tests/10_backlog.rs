//! Step 10: whoever was let in is answered before all ends.

use support::transcript::play_all;

support::promises_of_every_server!("10_backlog");
support::promises! { "10_backlog":
    the_page_is_the_same_for_every_path_and_method
    one_primary_starts_as_many_workers_as_asked_for
    no_worker_outlives_a_primary_that_was_killed
    told_to_end_it_finishes_fifty_requests_and_refuses_new_ones
    who_is_in_the_kernels_queue_when_it_is_told_to_end_is_answered
    who_is_in_the_kernels_queue_is_answered_where_descriptors_are_used_up
    who_keeps_a_connection_and_asks_for_nothing_is_waited_for_a_second
    told_to_end_during_a_pause_it_answers_who_waits_and_then_ends
    where_every_place_is_given_up_it_ends_without_delay
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("10_");
}
