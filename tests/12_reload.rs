//! Step 12: workers of a new program take the place of the old, and no request is lost.

use support::transcript::play_all;

support::promises_of_every_server!("12_reload");
support::promises_of_every_reload!("12_reload");
support::promises! { "12_reload":
    the_page_is_the_same_for_every_path_and_method
    a_hup_that_was_ignored_at_the_start_stays_ignored
    while_workers_come_and_go_under_load_no_request_is_lost
    kills_under_load_lose_nothing_but_what_the_dead_had
    after_ten_seconds_a_worker_that_was_told_to_go_is_killed
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("12_");
}
