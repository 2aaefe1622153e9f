//! Step 07: workers of a new program take the place of the old, and no request is lost.

use support::transcript::play_all;

support::promises_of_every_supervisor!("07_reload");
support::promises_of_every_reload!("07_reload");
support::promises! { "07_reload":
    the_page_is_the_same_for_every_path_and_method
}

#[test]
fn the_console_is_what_the_book_shows() {
    play_all("07_");
}
