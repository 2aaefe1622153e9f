//! The book holds together: two languages of one shape, code and consoles by include only, links
//! that lead somewhere, diffs that are fresh. mdBook itself is needed by the last test alone.
//!
//! `UPDATE_EXPECT=1 cargo test --test book` writes the diffs under `book/diffs/` anew.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use expect_test::expect_file;
use pulldown_cmark::{Event, Tag};
use similar::{ChangeTag, TextDiff};

use page::{
    Block, Fence, Include, LANGUAGES, PAGES, Page, files, is_anchor, line_at, markdown, read,
    resolve, root,
};

#[test]
fn both_languages_have_the_same_pages() {
    let [korean, english] = LANGUAGES.map(names);
    assert!(!korean.is_empty(), "book/ko is empty");
    assert_eq!(korean, english, "book/ko (left) and book/en (right) must hold the same pages");
}

#[test]
fn the_summary_lists_every_page_of_both_languages_in_the_same_order() {
    let summary = "book/SUMMARY.md";
    let listed = links(summary);
    let mut problems = Problems::default();
    for (line, link) in &listed {
        if !PAGES.iter().any(|page| page.path == resolve(summary, link)) {
            problems.at(summary, *line, format!("`{link}` is no page of the book"));
        }
    }
    for page in PAGES.iter() {
        let count = listed.iter().filter(|(_, link)| resolve(summary, link) == page.path).count();
        if count != 1 {
            problems.add(format!("{summary} lists {} {count} times: list it once", page.path));
        }
    }
    problems.report();
    let [korean, english] = LANGUAGES.map(|language| {
        let links = listed.iter().filter_map(|(_, link)| link.strip_prefix(language));
        links.collect::<Vec<_>>()
    });
    assert_eq!(korean, english, "{summary} must list both languages in the same order");
}

#[test]
fn every_scene_figure_and_diff_is_shown_on_some_page() {
    let shown: BTreeSet<&str> =
        PAGES.iter().flat_map(|page| &page.includes).map(|include| &*include.file).collect();
    let folders = ["book/console", "book/figures", "book/diffs"];
    let orphans = folders.iter().flat_map(|folder| files(folder, ""));
    let orphans = orphans.filter(|file| !shown.contains(&**file));
    let told = orphans.map(|file| format!("no page includes {file}: show it or remove it"));
    Problems(told.collect()).report();
}

#[test]
fn every_heading_has_an_id_and_no_id_is_twice_on_a_page() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for Block { line, kind } in page.sections.iter().flatten() {
            if kind.starts_with("a heading") && !kind.ends_with('}') {
                let mend = "end the line with one, {#like-this}, the same in both languages";
                problems.at(&page.path, *line, format!("{kind} without an id: {mend}"));
            }
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
fn both_languages_have_the_same_blocks_section_by_section() {
    let mut problems = Problems::default();
    for pair in pairs() {
        // A section that one language lacks is the business of the test above.
        let heading = |section: &[Block]| section.first().map(|block| block.kind.clone());
        for korean in &pair[0].sections {
            let mut others = pair[1].sections.iter();
            if let Some(english) = others.find(|english| heading(english) == heading(korean)) {
                problems.compare(pair, [korean.iter(), english.iter()]);
            }
        }
    }
    problems.report();
}

#[test]
fn every_include_finds_its_file_and_one_anchor_pair_with_code_in_it() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for (line, text) in &page.strange_directives {
            let known = "`{{#include FILE}}` and `{{#include FILE:ANCHOR}}`, on a line of its own";
            problems.at(&page.path, *line, format!("`{text}`: the book knows only {known}"));
        }
        for include @ Include { line, directive, .. } in &page.includes {
            let ends_block = |text: &String| match page.fence_at(*line) {
                Some(_) => text.trim_start().starts_with("```"),
                None => text.trim().is_empty(),
            };
            let problem = match include.text() {
                Err(problem) => problem,
                Ok(text) if !text.iter().any(ends_block) => continue,
                Ok(_) => {
                    "a line of it ends the block around it: a fence may not hold ```, a figure \
                          no empty line"
                        .to_owned()
                }
            };
            problems.at(&page.path, *line, format!("`{directive}`: {problem}"));
        }
    }
    problems.report();
}

#[test]
fn code_consoles_and_diffs_are_shown_by_include_only() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for Fence { line, info, body } in &page.fences {
            let (folder, ending, what) = match &**info {
                "rust" => ("steps/", ".rs", "`{{#include ../../steps/….rs:ANCHOR}}`"),
                "js" => ("steps/node/", ".mjs", "`{{#include ../../steps/node/….mjs:ANCHOR}}`"),
                "console" => ("book/console/", ".console", "`{{#include ../console/….console}}`"),
                "diff" => ("book/diffs/", ".diff", "`{{#include ../diffs/….diff}}`"),
                "sh" | "text" => ("", "", "what is typed or printed"),
                _ => ("-", "-", "nothing (there are rust, js, console, diff, sh and text)"),
            };
            let fits = |line| match page.include_at(line) {
                None => folder.is_empty(),
                Some(Include { file, anchor, .. }) => {
                    let ours = file.starts_with(folder) && file.ends_with(ending);
                    ours && !folder.is_empty() && anchor.is_none() == folder.starts_with("book/")
                }
            };
            let mut rows = body.iter().zip(line + 1..);
            if let Some((text, line)) = rows.find(|(_, line)| !fits(*line)) {
                let wanted = format!("`{text}` in a ```{info} fence, which is for: {what}");
                problems.at(&page.path, line, wanted);
            }
        }
        for Include { line, directive, file, anchor } in &page.includes {
            let figure = file.starts_with("book/figures/") && anchor.is_none();
            if !figure && page.fence_at(*line).is_none() {
                problems.at(&page.path, *line, format!("`{directive}` outside a fence"));
            }
        }
    }
    problems.report();
}

#[test]
fn every_line_of_every_step_is_shown_in_its_chapter() {
    let mut problems = Problems::default();
    for step in files("steps", ".rs").into_iter().chain(files("steps/node", ".mjs")) {
        let name = Path::new(&step).file_stem().unwrap().to_str().unwrap();
        let text = read(&step).unwrap();
        for language in LANGUAGES {
            let chapter = format!("book/{language}/{name}.md");
            let Some(page) = PAGES.iter().find(|page| page.path == chapter) else {
                problems.add(format!("{step} has no chapter: write {chapter}"));
                continue;
            };
            let includes = page.includes.iter().filter(|include| include.file == step);
            let shown: BTreeSet<usize> =
                includes.flat_map(|include| include.rows(&text).unwrap_or_default()).collect();
            let mut hidden = text.lines().enumerate().filter(|(row, line)| {
                !shown.contains(row) && !line.trim().is_empty() && !is_anchor(line)
            });
            if let Some((row, line)) = hidden.next() {
                let (line, more) = (line.trim(), hidden.count());
                problems.add(format!(
                    "{chapter} does not show `{line}` ({step}:{}) and {more} more lines: include an \
                     anchor around them, such as `program`",
                    row + 1
                ));
            }
        }
    }
    problems.report();
}

#[test]
fn every_link_leads_somewhere_in_its_own_language() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for (line, link) in &page.links {
            if let Some(problem) = problem_with_link(page, link) {
                problems.at(&page.path, *line, format!("the link `{link}` {problem}"));
            }
        }
    }
    for language in LANGUAGES {
        let first = format!("{language}/introduction.md");
        if !PAGES[0].links.iter().any(|(_, link)| *link == first) {
            problems.add(format!("book/index.md does not link to `{first}`"));
        }
    }
    problems.report();
}

#[test]
fn the_glossary_has_the_same_terms_in_both_languages() {
    let [korean, english] = LANGUAGES.map(|language| {
        let path = format!("book/{language}/glossary.md");
        let page = PAGES.iter().find(|page| page.path == path).expect(&path);
        page.ids.iter().map(|(_, id)| &**id).collect::<BTreeSet<_>>()
    });
    let alone = korean.symmetric_difference(&english);
    let told = alone.map(|id| format!("only one language's glossary.md has `{id}`"));
    Problems(told.collect()).report();
}

#[test]
fn no_markup_is_left_over_in_the_text() {
    // A lone `*` or `` ` `` began or ended something that did not come out.
    let leftovers = ["**", "*", "`", "{{#", "{#", "[!", "[^", "](", "][", "| --", "|--"];
    let mend = "Markdown does nothing there. Inside HTML, and for emphasis right before a Korean \
                particle, use tags such as <strong>";
    let mut problems = Problems::default();
    for page in PAGES.iter() {
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
fn no_step_is_longer_than_70_lines_and_none_changes_more_than_14() {
    let mut problems = Problems::default();
    for step in files("steps", ".rs") {
        let lines = without_anchors(&step).lines().count();
        if lines > 70 {
            problems.add(format!("{step} has {lines} lines: 70 are allowed, not counting anchors"));
        }
    }
    for [before, after] in stages() {
        let (old, new) = (without_anchors(&before), without_anchors(&after));
        let diff = TextDiff::from_lines(&old, &new);
        let lines = diff.iter_all_changes().filter(|line| line.tag() != ChangeTag::Equal).count();
        if lines > 14 {
            let mend = "14 are allowed. A line that need not differ stays as it is, where it is";
            problems.add(format!("{lines} lines change from {before} to {after}: {mend}"));
        }
    }
    problems.report();
}

#[test]
fn the_diffs_are_those_of_the_steps() {
    let mut problems = Problems::default();
    for [before, after] in stages() {
        let (old, new) = (without_anchors(&before), without_anchors(&after));
        let diff = TextDiff::from_lines(&old, &new);
        let fresh = diff.unified_diff().context_radius(3).header(&before, &after).to_string();
        let name = after.replace("steps/", "book/diffs/").replace(".rs", ".diff");
        let file = expect_file![root().join(&name)];
        if env::var_os("UPDATE_EXPECT").is_some() {
            file.assert_eq(&fresh);
        }
        if file.data() != fresh {
            problems.add(format!(
                "{name} is not the difference between {before} and {after}. To refresh it:\n\n    \
                 UPDATE_EXPECT=1 cargo test --test book\n\n  It should be:\n\n{fresh}"
            ));
        }
    }
    problems.report();
}

#[test]
fn the_readmes_show_real_consoles_and_link_to_real_files() {
    let mut problems = Problems::default();
    for readme in ["README.md", "README.ko.md", "CONTRIBUTING.md"] {
        let text = match read(readme) {
            Ok(text) => text,
            Err(problem) => {
                problems.add(problem);
                continue;
            }
        };
        for (line, link) in links(readme) {
            let file = link.split('#').next().unwrap();
            if !link.starts_with("https://") && !file.is_empty() && !root().join(file).exists() {
                problems.at(readme, line, format!("the link `{link}` leads nowhere"));
            }
        }
        let mut scenes = 0;
        let mut lines = text.lines().zip(1..);
        while let Some((comment, line)) = lines.next() {
            let scene = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            let Some(scene) = scene.filter(|scene| scene.starts_with("book/console/")) else {
                continue;
            };
            scenes += 1;
            let fence = lines.by_ref().skip_while(|(line, _)| !line.starts_with("```")).skip(1);
            let shown: Vec<&str> =
                fence.map(|(line, _)| line).take_while(|line| !line.starts_with("```")).collect();
            let real = read(scene).unwrap_or_else(|problem| problem);
            if !shown.iter().copied().eq(real.lines()) {
                let below = format!("the fence below is not {scene}: it should hold\n\n{real}");
                problems.at(readme, line, below);
            }
        }
        if scenes == 0 && readme.starts_with("README") {
            let mend = "put `<!-- book/console/….console -->` above a fence that holds that file";
            problems.add(format!("{readme} shows no console: {mend}"));
        }
    }
    problems.report();
}

#[test]
fn a_first_run_compiles_at_most_16_crates() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--edges=normal,build", "--prefix=none", "--no-dedupe"]);
    let tree = cargo.args(["--offline", "--locked"]).current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(
        crates.len() <= 16,
        "`cargo run` compiles {} crates: 16 may be:\n{}",
        crates.len(),
        crates.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, or this file would be the first to fail.
    let places = ["home", "root", "work", "Users"].map(|folder| format!("/{folder}"));
    let is_name = |letter: char| letter.is_alphanumeric() || "._-~})".contains(letter);
    let folders = ["book", "steps", "tests", ".ci", ".github"].into_iter().flat_map(files_below);
    let own = ["README.md", "README.ko.md", "CONTRIBUTING.md", "Cargo.toml", "book.toml"];
    let mut problems = Problems::default();
    for file in folders.chain(own.map(str::to_owned)) {
        for (text, line) in read(&file).unwrap_or_default().lines().zip(1..) {
            for place in &places {
                let absolute = text.match_indices(place).any(|(at, _)| {
                    let (before, after) = (&text[..at], &text[at + place.len()..]);
                    !before.ends_with(is_name) && !after.starts_with(is_name)
                });
                if absolute {
                    problems.at(&file, line, format!("`{}` names {place}", text.trim()));
                }
            }
        }
    }
    problems.report();
}

#[test]
#[ignore = "needs mdbook: cargo install mdbook --locked"]
fn mdbook_builds_every_page_without_a_warning() {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    let before = files_below("book");
    let mut mdbook = Command::new("mdbook");
    mdbook.arg("build").arg("-d").arg(&output).current_dir(root()).env_remove("RUST_LOG");
    let run = mdbook.output().unwrap_or_else(|error| panic!("cannot run mdbook: {error}"));
    let told = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    let complaints = told.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
    let mut problems = Problems(complaints.map(str::to_owned).collect());
    if !run.status.success() {
        problems.add(format!("mdbook ended with {}:\n{told}", run.status));
    }
    for page in PAGES.iter() {
        let html = page.path.trim_start_matches("book/").replace(".md", ".html");
        match fs::read_to_string(output.join(&html)) {
            Err(error) => problems.add(format!("mdbook made no {html}: {error}")),
            Ok(text) if text.contains("{{#") => problems.add(format!("{html} has a raw `{{{{#`")),
            Ok(_) => {}
        }
    }
    if files_below("book") != before {
        problems.add("mdbook left files in book/".to_owned());
    }
    problems.report();
}

/// What is wrong, in words.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    fn at(&mut self, file: &str, line: usize, problem: String) {
        self.add(format!("{file}:{line}: {problem}"));
    }

    /// Adds the first place where blocks of two pages go apart, if they do.
    fn compare<'a>(&mut self, pages: [&Page; 2], blocks: [impl Iterator<Item = &'a Block>; 2]) {
        let [korean, english] = blocks.map(|blocks| blocks.collect::<Vec<_>>());
        let same = korean.iter().zip(&english).take_while(|(left, right)| left.kind == right.kind);
        let at = same.count();
        let told = |blocks: &[&Block]| match (blocks.get(at), blocks.last()) {
            (Some(block), _) => format!("{}: {}", block.line, block.kind),
            (None, Some(last)) => format!("{}: nothing after {}", last.line, last.kind),
            (None, None) => "1: nothing".to_owned(),
        };
        if at < korean.len().max(english.len()) {
            let [here, there] = pages.map(|page| &page.path);
            let (korean, english) = (told(&korean), told(&english));
            let difference = format!("\n    {here}:{korean}\n    {there}:{english}");
            self.add(format!("the languages differ:{difference}"));
        }
    }

    /// Fails where there are any, and tells them all.
    #[track_caller]
    fn report(self) {
        assert!(self.0.is_empty(), "\n\n- {}\n", self.0.join("\n- "));
    }
}

/// The names of a language's pages.
fn names(language: &str) -> Vec<&'static str> {
    PAGES.iter().filter(|page| page.language() == Some(language)).map(Page::name).collect()
}

/// Every page that both languages have, Korean and English.
fn pairs() -> impl Iterator<Item = [&'static Page; 2]> {
    let find = |language, name| {
        PAGES.iter().find(|page| page.language() == Some(language) && page.name() == name)
    };
    names("ko").into_iter().filter_map(move |name| Some([find("ko", name)?, find("en", name)?]))
}

/// What is wrong with a link on `page`, if anything.
fn problem_with_link(page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (file, id) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
    let Some(target) = PAGES.iter().find(|page| page.path == path) else {
        // mdBook copies whatever lies below book/, Markdown apart.
        let copied = path.starts_with("book/") && !path.ends_with(".md");
        return match root().join(&path).exists() {
            true if copied && id.is_empty() => None,
            true => Some(format!("means {path}, which the built book does not hold")),
            false => Some("leads nowhere (links are relative, or begin with https://)".to_owned()),
        };
    };
    if page.language().zip(target.language()).is_some_and(|(here, there)| here != there) {
        return Some("leaves its language".to_owned());
    }
    let known = !link.contains('#') || target.ids.iter().any(|(_, known)| known == id);
    (!known).then(|| format!("asks for an id that {path} does not have"))
}

/// The links of a Markdown file outside the pages, with their lines.
fn links(file: &str) -> Vec<(usize, String)> {
    let text = read(file).unwrap_or_default();
    let events = markdown(&text).into_offset_iter();
    let links = events.filter_map(|(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some((line_at(&text, range.start), dest_url.to_string()))
        }
        _ => None,
    });
    links.collect()
}

/// Each step and the one after it.
fn stages() -> Vec<[String; 2]> {
    files("steps", ".rs").windows(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
}

/// A step as its reader sees it.
fn without_anchors(step: &str) -> String {
    let text = read(step).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| !is_anchor(line));
    lines.collect()
}

/// Every file below `folder`, in order.
fn files_below(folder: &str) -> Vec<String> {
    let entries = files(folder, "").into_iter();
    let files = entries.flat_map(|path| match root().join(&path).is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    files.collect()
}
