//! What a reader sees is words: no markup that did not come out, and none that a Korean particle
//! would break.

use std::iter;

use crate::page::{PAGES, PAPERS, Page, SUMMARY};
use crate::problems::Problems;

#[test]
fn no_markup_is_left_over_in_the_text() {
    // A lone `*` or `` ` `` began or ended something that did not come out.
    let leftovers = ["**", "*", "`", "{{#", "{#", "[!", "[^", "](", "][", "| --", "|--"];
    let mend = "Markdown does nothing there. Inside HTML, and for emphasis right before a Korean \
                particle, use tags such as <strong>";
    let mut problems = Problems::default();
    for page in all_pages() {
        for (line, text) in &page.prose {
            if let Some(left) = leftovers.iter().find(|left| text.contains(**left)) {
                let text = text.trim();
                problems.at(&page.path, *line, format!("`{left}` is left in `{text}`: {mend}"));
            }
        }
    }
    problems.report();
}

#[test]
fn emphasis_is_written_in_tags_not_in_stars() {
    let mend = "a Korean particle behind it would break it, so write the tag";
    let mut problems = Problems::default();
    for page in all_pages() {
        for (line, source) in &page.starred {
            let text = source.trim_matches(['*', '_']);
            let tag = if source.len() - text.len() == 4 { "strong" } else { "em" };
            problems.at(&page.path, *line, format!("`{source}`: {mend}, <{tag}>{text}</{tag}>"));
        }
    }
    problems.report();
}

fn all_pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter().chain(PAPERS.iter()).chain(iter::once(&*SUMMARY))
}
