//! Step 11: the primary has as many workers as it is told.

use support::transcript::play_all;

support::promises_of_every_supervisor!("11_scale");
support::promises! { "11_scale":
    the_page_is_the_same_for_every_path_and_method
    hung_up_it_ends_in_order
    #[ignore = "needs memory for 1,024 workers"]
    there_are_never_more_than_1024_workers
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("11_");
}
