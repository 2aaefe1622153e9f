//! Two languages of one shape: the same pages, headings, blocks and commands, README included.

use std::collections::{BTreeMap, BTreeSet};

use crate::page::{LANGUAGES, PAGES, PAPERS, Page};
use crate::problems::Problems;

#[test]
fn both_languages_have_the_same_pages() {
    let [korean, english] = LANGUAGES.map(names);
    assert!(!korean.is_empty(), "book/ko is empty");
    assert_eq!(korean, english, "book/ko (left) and book/en (right) must hold the same pages");
}

#[test]
fn every_heading_has_an_id_and_no_id_is_twice_on_a_page() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for heading in page.headings.iter().filter(|heading| heading.id.is_none()) {
            let mend = "end the line with one, {#like-this}, the same in both languages";
            let problem = format!("the heading `{}` has no id: {mend}", heading.text);
            problems.at(&page.path, heading.line, problem);
        }
        let mut known = BTreeMap::new();
        for (line, id) in &page.ids {
            if let Some(first) = known.insert(id, line) {
                problems.at(&page.path, *line, format!("`{id}` is on line {first} already"));
            }
        }
    }
    problems.report();
}

#[test]
fn both_languages_have_the_same_headings() {
    let mut problems = Problems::default();
    for pair in pairs() {
        let headings = pair.map(|page| page.sections.iter().filter_map(|blocks| blocks.first()));
        problems.compare(pair, headings);
    }
    problems.report();
}

#[test]
fn no_heading_is_left_in_the_other_language() {
    let title = crate::project::title();
    let mut problems = Problems::default();
    for [korean, english] in pairs_with_the_same_headings() {
        for (heading, other) in korean.headings.iter().zip(&english.headings) {
            if heading.text == other.text && heading.text != title {
                let there = format!("{}:{}", english.path, other.line);
                let told = format!("the heading `{}` is that of {there}: translate it", other.text);
                problems.at(&korean.path, heading.line, told);
            }
        }
    }
    problems.report();
}

#[test]
fn a_section_that_every_chapter_has_is_called_the_same_in_all() {
    let shared =
        ["see", "predict", "code", "diff", "run", "why", "node-differs", "break", "exercises"];
    let mut problems = Problems::default();
    for language in LANGUAGES {
        let pages = PAGES.iter().filter(|page| page.language() == Some(language));
        let mut known = BTreeMap::new();
        // A chapter shows something first; other pages have other things under these ids.
        for page in pages.filter(|page| page.ids.iter().any(|(_, id)| id == "see")) {
            for heading in &page.headings {
                let id = heading.id.as_deref().filter(|id| shared.contains(id));
                // The aside comes of step 00, and not of the step before it.
                let Some(id) = id.filter(|id| (page.name(), *id) != ("threads.md", "diff")) else {
                    continue;
                };
                let (first, text) = *known.entry(id).or_insert((&page.path, &heading.text));
                if heading.text != *text {
                    let told = format!("`{}` {{#{id}}} is `{text}` in {first}", heading.text);
                    problems.at(&page.path, heading.line, told);
                }
            }
        }
    }
    problems.report();
}

#[test]
fn both_languages_have_the_same_blocks_section_by_section() {
    let mut problems = Problems::default();
    for pair in pairs_with_the_same_headings() {
        for (korean, english) in pair[0].sections.iter().zip(&pair[1].sections) {
            problems.compare(pair, [korean.iter(), english.iter()]);
        }
    }
    problems.report();
}

/// zsh takes `#` for a word like any other where somebody types it: `cargo test # all` would run the
/// tests with `all` in their names, and say that all is well.
#[test]
fn no_command_has_a_comment() {
    let mut problems = Problems::default();
    for page in PAGES.iter().chain(PAPERS.iter()) {
        for fence in page.fences.iter().filter(|fence| fence.info == "sh") {
            for (line, text) in (fence.line + 1..).zip(&fence.body) {
                if text.split_whitespace().any(|word| word.starts_with('#')) {
                    let mend =
                        "say it outside the fence: zsh would run it as a part of the command";
                    problems.at(&page.path, line, format!("`{text}` has a comment: {mend}"));
                }
            }
        }
    }
    problems.report();
}

#[test]
fn both_languages_type_the_same_commands() {
    let what = "the two languages should type the same: mend the one that is wrong";
    let mut problems = Problems::default();
    for pair in pairs_with_the_same_headings() {
        let typed = pair.map(typed);
        for section in 0..pair[0].sections.len() {
            let lists = typed.each_ref().map(|lines| {
                let here = lines.iter().filter(|(at, ..)| *at == section);
                here.map(|(_, line, text)| (*line, &**text)).collect::<Vec<_>>()
            });
            problems.compare_lines(pair, lists, what);
        }
    }
    problems.report();
}

#[test]
fn both_languages_name_the_same_commands_and_values_in_their_text() {
    let mend = "name it there too, or in neither (code with a blank or a digit in it is the same \
                in both languages, section by section)";
    let mut problems = Problems::default();
    for pair in pairs_with_the_same_headings() {
        let named = pair.map(|page| {
            // A bare word, such as a variable, may come up wherever the language needs it.
            let told =
                |code: &str| code.contains(|c: char| c.is_whitespace() || c.is_ascii_digit());
            let code = page.code.iter().filter(|(_, code)| told(code));
            code.map(|(line, code)| (page.section_at(*line), &**code, *line)).collect::<Vec<_>>()
        });
        for (here, there) in [(0, 1), (1, 0)] {
            let known: BTreeSet<_> = named[there].iter().map(|(at, code, _)| (at, code)).collect();
            for (section, code, line) in &named[here] {
                if !known.contains(&(section, code)) {
                    let start =
                        pair[there].sections[*section].first().map_or(1, |block| block.line);
                    let there = &pair[there].path;
                    let told =
                        format!("`{code}` is not in that section of {there}:{start}: {mend}");
                    problems.at(&pair[here].path, *line, told);
                }
            }
        }
    }
    problems.report();
}

/// What a reader types or sees in the ```` ```sh ```` and ```` ```text ```` fences: section, line
/// and text, without comments.
fn typed(page: &Page) -> Vec<(usize, usize, String)> {
    let fences = page.fences.iter().filter(|fence| ["sh", "text"].contains(&&*fence.info));
    let lines = fences.flat_map(|fence| {
        let lines = (fence.line + 1..).zip(&fence.body);
        lines.map(|(line, text)| (page.section_at(line), line, text.clone()))
    });
    lines.filter(|(.., text)| !text.is_empty()).collect()
}

/// The names of a language's pages.
fn names(language: &str) -> Vec<&'static str> {
    PAGES.iter().filter(|page| page.language() == Some(language)).map(Page::name).collect()
}

/// Every page that both languages have, Korean and English; the README too.
fn pairs() -> impl Iterator<Item = [&'static Page; 2]> {
    let find = |language, name| {
        PAGES.iter().find(|page| page.language() == Some(language) && page.name() == name)
    };
    let pages = names("ko").into_iter();
    let pages = pages.filter_map(move |name| Some([find("ko", name)?, find("en", name)?]));
    pages.chain([[&PAPERS[0], &PAPERS[1]]])
}

/// The pairs of which one section after another can be compared.
fn pairs_with_the_same_headings() -> impl Iterator<Item = [&'static Page; 2]> {
    let kinds = |page: &'static Page| {
        page.sections.iter().map(|blocks| blocks.first().map(|block| &*block.kind))
    };
    pairs().filter(move |[korean, english]| kinds(korean).eq(kinds(english)))
}
