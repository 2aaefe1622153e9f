//! The figures. Each is drawn once, with English words; the Korean one is made from that drawing.

use std::collections::BTreeSet;
use std::env;

use expect_test::expect_file;

use crate::page::{files, read, root};
use crate::problems::Problems;

/// What the English words of the figures are in Korean.
pub const WORDS: &str = "book/figures/ko.txt";

/// English and Korean: in one figure, or in all that have no row of their own for it.
struct Row<'a> {
    line: usize,
    figure: Option<&'a str>,
    english: &'a str,
    korean: &'a str,
}

#[test]
fn the_korean_figures_are_the_english_drawings_with_the_words_of_the_table() {
    let mut problems = Problems::default();
    let table = read(WORDS).unwrap_or_else(|problem| panic!("{problem}"));
    let rows = rows(&table, &mut problems);
    let (mut used, mut made) = (BTreeSet::new(), Vec::new());
    for file in files("book/figures", ".en.svg") {
        let drawing = read(&file).unwrap().replacen(" lang=\"en\"", " lang=\"ko\"", 1);
        let figure = file.trim_start_matches("book/figures/").trim_end_matches(".en.svg");
        let find = |text| {
            let in_figure = |of| rows.iter().find(|row| row.figure == of && row.english == text);
            in_figure(Some(figure)).or_else(|| in_figure(None))
        };
        let (mut korean, mut line, mut whole) = (String::new(), 1, true);
        // What stands between the tags is what a reader sees or hears.
        for part in drawing.split_inclusive('>') {
            let (text, tag) = part.split_at(part.find('<').unwrap_or(part.len()));
            match find(text) {
                Some(row) => {
                    used.insert(row.line);
                    korean += row.korean;
                }
                None if is_code(text) => korean += text,
                None => {
                    whole = false;
                    let text = text.trim();
                    let mend = format!(
                        "add a row to {WORDS}, `{text}`, a tab, and the Korean. If it is code, it \
                         stays as it is: the same on both sides"
                    );
                    problems.at(&file, line, format!("`{text}` has no Korean: {mend}"));
                }
            }
            korean += tag;
            line += part.matches('\n').count();
        }
        let name = file.replace(".en.", ".ko.");
        let expected = expect_file![root().join(&name)];
        if whole && env::var_os("UPDATE_EXPECT").is_some() {
            expected.assert_eq(&korean);
        }
        if whole && expected.data() != korean {
            problems.add(format!(
                "{name} is not {file} with the words of {WORDS}. To refresh it:\n\n    \
                 UPDATE_EXPECT=1 cargo test --test book\n\n  It should be:\n\n{korean}"
            ));
        }
        made.push(name);
    }
    for row in rows.iter().filter(|row| !used.contains(&row.line)) {
        let told = format!("no figure needs the row of `{}`: remove it", row.english);
        problems.at(WORDS, row.line, told);
    }
    for file in files("book/figures", ".svg").iter().filter(|file| !file.ends_with(".en.svg")) {
        if !made.contains(file) {
            problems.add(format!("{file} is made from no English figure: remove it"));
        }
    }
    problems.report();
}

fn rows<'a>(table: &'a str, problems: &mut Problems) -> Vec<Row<'a>> {
    let (mut rows, mut figure) = (Vec::new(), None);
    let is_korean = |text: &str| text.contains(|letter| ('가'..='힣').contains(&letter));
    for (text, line) in table.lines().zip(1..) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            figure = Some(name);
            continue;
        }
        match text.split('\t').collect::<Vec<_>>()[..] {
            [english, korean] if is_korean(korean) || korean == english => {
                rows.push(Row { line, figure, english, korean })
            }
            _ => {
                let wanted = "English, one tab, and Korean, or code, one tab, and the same code";
                problems.at(WORDS, line, format!("`{text}` is not {wanted}"));
            }
        }
    }
    rows
}

/// Whether it has no word that a reader would read: a number, a signal, a call, a name with `_`.
fn is_code(text: &str) -> bool {
    let is_word = |word: &str| {
        let mut letters = word.split(|letter: char| !letter.is_ascii_lowercase());
        letters.any(|letters| letters.len() > 2) && !word.contains(['(', '_'])
    };
    !text.split_whitespace().any(is_word)
}
