//! What a reader sees is words: no markup that did not come out, none that a Korean particle would
//! break, and no Korean word for which the book has another.

use std::iter;

use crate::glossary::begins_a_word;
use crate::page::{PAGES, PAPERS, Page, SUMMARY, files};
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

#[test]
fn the_korean_pages_use_the_words_of_this_book() {
    let (readme, contributing) = (&PAPERS[0], &PAPERS[2]);
    let (_, words) = contributing.source.split_once("\n## Korean words\n").expect("a section");
    let rows = words.lines().skip_while(|line| *line != "|---|---|").skip(1);
    let rows: Vec<(&str, &str)> = rows
        .map_while(|row| row.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .collect();
    assert!(!rows.is_empty(), "{} has no table of Korean words", contributing.path);
    let korean = PAGES.iter().filter(|page| page.language() != Some("en"));
    let beside = files("book/measured", ".ko.md").into_iter().chain(["book/404.md".to_owned()]);
    let beside: Vec<Page> = beside.map(|path| Page::read(&path)).collect();
    let mut problems = Problems::default();
    for page in korean.chain([readme, &*SUMMARY]).chain(&beside) {
        for (line, text) in &page.prose {
            for (wrong, right) in &rows {
                for word in wrong.split(", ").filter(|word| begins_a_word(text, word)) {
                    let told = format!("`{word}…`: write {right}");
                    problems.at(&page.path, *line, told);
                }
            }
        }
    }
    problems.report();
}

fn all_pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter().chain(PAPERS.iter()).chain(iter::once(&*SUMMARY))
}
