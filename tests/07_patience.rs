//! Step 07: the primary has patience with a worker that dies at once, up to a limit, and with a
//! console that stands still.

use support::transcript::play_all;

support::promises_of_every_program!("07_patience");
support::promises! { "07_patience":
    the_page_is_the_same_for_every_path_and_method
    one_primary_starts_as_many_workers_as_asked_for
    no_worker_outlives_a_primary_that_was_killed
    a_wrong_number_of_failures_is_one_line_and_starts_nothing
    the_pause_grows_by_half_with_each_worker_in_a_row_that_died_young
    a_worker_that_lived_for_a_second_is_replaced_at_once_and_the_pauses_begin_anew
    a_program_that_ends_at_its_start_ends_the_primary_after_so_many
    a_worker_that_cannot_be_started_counts_as_one_that_died_young
    #[cfg(target_os = "linux")] // No other system limits the processes of one that runs.
    a_worker_that_cannot_be_started_is_started_once_it_can
    #[ignore = "takes a minute"]
    without_max_failures_set_it_is_15
    a_console_that_stands_still_stops_nobody
    where_its_console_stands_still_it_gives_up_all_the_same
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("07_");
}
