//! Step 08: told to end, everybody finishes what has begun.

use support::transcript::play_all;

support::promises_of_every_server!("08_finish");
support::promises! { "08_finish":
    the_page_is_the_same_for_every_path_and_method
    one_primary_starts_as_many_workers_as_asked_for
    no_worker_outlives_a_primary_that_was_killed
    told_to_end_it_ends_at_once_where_nobody_is_connected
    told_to_end_it_answers_what_has_begun
    too_many_in_a_row_that_died_young_in_one_place_end_it_in_order
    no_worker_that_finishes_outlives_a_primary_that_was_killed
    two_signals_at_once_are_one
    the_second_ctrl_c_ends_all_at_once
    term_and_ctrl_c_are_not_for_a_worker_alone
    told_to_end_during_a_pause_it_ends_at_once_where_nobody_waits
    #[cfg(target_os = "linux")]
    #[ignore = "needs unshare: util-linux, and the right to make a namespace for processes"]
    as_process_1_it_ends_in_order_by_term_and_by_ctrl_c
    after_ten_seconds_nothing_is_waited_for_any_longer
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("08_");
}
