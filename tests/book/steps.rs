//! The steps, and what the book has of each: a budget, a diff, a chapter, a place in the tables.

use std::collections::BTreeSet;
use std::env;

use expect_test::expect_file;
use similar::{ChangeTag, TextDiff};

use crate::names::Package;
use crate::page::{LANGUAGES, Link, PAGES, Page, SUMMARY, files, is_anchor, read, root};
use crate::problems::Problems;

/// A step, `steps/NAME.rs`. Comments and blank lines count for nothing here.
struct Step {
    name: &'static str,
    most_lines: usize,
    /// The step that its chapter shows the difference from, and how many lines may differ, removed
    /// ones and added ones together.
    from: Option<(&'static str, usize)>,
}

/// Every step, in the order in which the book has them.
const STEPS: &[Step] = &[
    Step { name: "00_fork", most_lines: 40, from: None },
    Step { name: "01_crash", most_lines: 70, from: Some(("00_fork", 18)) },
    Step { name: "02_exit_log", most_lines: 70, from: Some(("01_crash", 18)) },
    Step { name: "03_respawn", most_lines: 70, from: Some(("02_exit_log", 18)) },
    Step { name: "04_errors", most_lines: 70, from: Some(("03_respawn", 32)) },
    Step { name: "threads", most_lines: 70, from: Some(("00_fork", 36)) },
    Step { name: "05_loop", most_lines: 140, from: None },
    Step { name: "06_handoff", most_lines: 177, from: Some(("05_loop", 71)) },
    Step { name: "07_patience", most_lines: 236, from: Some(("06_handoff", 87)) },
    Step { name: "08_finish", most_lines: 280, from: Some(("07_patience", 87)) },
    Step { name: "09_keepalive", most_lines: 300, from: Some(("08_finish", 30)) },
    Step { name: "10_backlog", most_lines: 333, from: Some(("09_keepalive", 55)) },
    Step { name: "11_scale", most_lines: 357, from: Some(("10_backlog", 70)) },
    Step { name: "12_reload", most_lines: 412, from: Some(("11_scale", 81)) },
    Step { name: "13_session", most_lines: 450, from: Some(("12_reload", 44)) },
    Step { name: "14_redis", most_lines: 514, from: Some(("13_session", 90)) },
    Step { name: "15_socket", most_lines: 538, from: Some(("14_redis", 34)) },
    Step { name: "16_hosts", most_lines: 547, from: Some(("15_socket", 15)) },
    Step { name: "17_failover", most_lines: 601, from: Some(("16_hosts", 90)) },
];

/// Answers to exercises, as differences from a step: `git apply -p0` puts them in.
const ANSWERS: &[(&str, &str)] = &[("book/diffs/13_sticky.diff", "steps/13_session.rs")];

impl Step {
    fn path(&self) -> String {
        format!("steps/{}.rs", self.name)
    }

    /// The step as its reader sees it.
    fn text(&self) -> String {
        without_anchors(&self.path())
    }

    /// What its chapter shows of it: the difference from the step before, and where it does not
    /// show both programs whole, that of the Node twins.
    fn differences(&self) -> Vec<Difference> {
        let Some((before, _)) = self.from else { return Vec::new() };
        let mut shown = vec![Difference::between(before, self.name, "steps/", ".rs", ".diff")];
        if self.name >= FIRST_WITHOUT_LISTING && self.name.starts_with(|c: char| c.is_ascii_digit())
        {
            shown.push(Difference::between(before, self.name, "steps/node/", ".mjs", ".mjs.diff"));
        }
        shown
    }
}

/// From this step on a chapter shows no program whole: the passages and the differences are enough.
const FIRST_WITHOUT_LISTING: &str = "06_handoff";

struct Difference {
    /// The file that holds it.
    file: String,
    before: String,
    after: String,
    texts: [String; 2],
}

impl Difference {
    fn between(before: &str, after: &str, folder: &str, ending: &str, kind: &str) -> Difference {
        let file = format!("book/diffs/{after}{kind}");
        let [before, after] = [before, after].map(|step| format!("{folder}{step}{ending}"));
        let texts = [&before, &after].map(|step| without_anchors(step));
        Difference { file, before, after, texts }
    }
}

#[test]
fn every_step_is_in_the_table_of_budgets_and_has_binary_twin_test_and_chapter() {
    let mut problems = Problems::default();
    for step in files("steps", ".rs") {
        if !STEPS.iter().any(|known| known.path() == step) {
            let mend = "add a row to STEPS in tests/book/steps.rs";
            problems.add(format!("{step} has no budget: {mend}"));
        }
    }
    let package = Package::own();
    for step in STEPS {
        let name = step.name;
        if !package.bins.contains_key(name) {
            problems.add(format!("no [[bin]] in Cargo.toml has the name {name}"));
        }
        let chapters = LANGUAGES.map(|language| format!("book/{language}/{name}.md"));
        let parts = [step.path(), format!("steps/node/{name}.mjs"), format!("tests/{name}.rs")];
        for part in parts.iter().chain(&chapters).filter(|part| !root().join(part).exists()) {
            problems.add(format!("step {name} has no {part}"));
        }
    }
    let numbered = |page: &&Page| page.name().starts_with(|c: char| c.is_ascii_digit());
    for page in PAGES.iter().filter(numbered) {
        if !STEPS.iter().any(|step| page.name() == format!("{}.md", step.name)) {
            problems.add(format!("{} is the chapter of no step", page.path));
        }
    }
    problems.report();
}

#[test]
fn the_summary_and_the_introduction_list_every_step_in_order_and_no_other() {
    let steps: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    let mut problems = Problems::default();
    let compare = |problems: &mut Problems, place: &str, listed: Vec<&str>| {
        if listed != steps {
            let told = format!("lists {listed:?}, and the steps in their order are {steps:?}");
            problems.add(format!("{place} {told}"));
        }
    };
    for language in LANGUAGES {
        let listed = SUMMARY.links.iter().filter_map(|link| {
            let page = link.to.strip_prefix(language)?.strip_prefix('/')?.strip_suffix(".md")?;
            is_step(page).then_some(page)
        });
        let place = format!("{}, for book/{language},", SUMMARY.path);
        compare(&mut problems, &place, listed.collect());
        let introduction = format!("book/{language}/introduction.md");
        let page = PAGES.iter().find(|page| page.path == introduction).expect(&introduction);
        let rows = page.links.iter().filter(|Link { line, to, text }| {
            let row = page.source.lines().nth(line - 1).unwrap();
            row.starts_with(&format!("| [{text}]({to}) |"))
        });
        let rows: Vec<&Link> = rows.filter(|link| is_step(&link.text)).collect();
        let place = format!("{introduction}, in its tables' first column,");
        compare(&mut problems, &place, rows.iter().map(|row| &*row.text).collect());
        for Link { line, to, text } in rows {
            if *to != format!("{text}.md") {
                problems.at(&introduction, *line, format!("`{text}` leads to `{to}`"));
            }
        }
    }
    problems.report();
}

/// Whether `name` is that of a step, or looks like it.
fn is_step(name: &str) -> bool {
    let numbered = name.split('_').next().is_some_and(|number| {
        number.len() == 2 && number.chars().all(|digit| digit.is_ascii_digit())
    });
    numbered || STEPS.iter().any(|step| step.name == name)
}

/// Whole, or as the difference from a step before it, of which the same holds.
#[test]
fn every_line_of_every_step_is_shown_in_its_chapter() {
    let mut problems = Problems::default();
    for step in STEPS {
        let differences = step.differences();
        for file in [step.path(), format!("steps/node/{}.mjs", step.name)] {
            let text = read(&file).unwrap();
            let difference = differences.iter().find(|difference| difference.after == file);
            for language in LANGUAGES {
                let chapter = format!("book/{language}/{}.md", step.name);
                let Some(page) = PAGES.iter().find(|page| page.path == chapter) else {
                    problems.add(format!("{file} has no chapter: write {chapter}"));
                    continue;
                };
                let shows = |file: &str| page.includes.iter().any(|include| include.file == file);
                if difference.is_some_and(|difference| shows(&difference.file)) {
                    continue;
                }
                let includes = page.includes.iter().filter(|include| include.file == file);
                let shown: BTreeSet<usize> =
                    includes.flat_map(|include| include.rows(&text).unwrap_or_default()).collect();
                let mut hidden = text.lines().enumerate().filter(|(row, line)| {
                    !shown.contains(row) && !line.trim().is_empty() && !is_anchor(line)
                });
                if let Some((row, line)) = hidden.next() {
                    let (line, more) = (line.trim(), hidden.count());
                    problems.add(format!(
                        "{chapter} does not show `{line}` ({file}:{}) and {more} more lines: include \
                         an anchor around them, such as `program`, or the difference from the step before",
                        row + 1
                    ));
                }
            }
        }
    }
    problems.report();
}

#[test]
fn no_step_is_longer_or_changes_more_than_its_budget_allows() {
    let counts = |line: &str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let mut problems = Problems::default();
    for step in STEPS {
        let (path, most) = (step.path(), step.most_lines);
        let lines = step.text().lines().filter(|line| counts(line)).count();
        if lines > most {
            let mend = "say it in fewer, or move it out of the step";
            problems.add(format!(
                "{path} has {lines} lines, comments and blank lines apart: {most} may be; {mend}"
            ));
        }
        let Some((_, most_changed)) = step.from else { continue };
        let Difference { before, after, texts: [old, new], .. } = &step.differences()[0];
        let diff = TextDiff::from_lines(old, new);
        let changed = diff.iter_all_changes().filter(|line| line.tag() != ChangeTag::Equal);
        let lines = changed.filter(|line| counts(line.value())).count();
        if lines > most_changed {
            let mend = "a line that need not differ stays as it is, where it is";
            problems.add(format!(
                "{lines} lines change from {before} to {after}, comments and blank lines apart: {most_changed} \
                 may; {mend}"
            ));
        }
    }
    problems.report();
}

#[test]
fn the_diffs_are_those_of_the_steps() {
    let mut problems = Problems::default();
    let differences: Vec<Difference> = STEPS.iter().flat_map(Step::differences).collect();
    for Difference { file: name, before, after, texts: [old, new], .. } in &differences {
        let diff = TextDiff::from_lines(old, new);
        let fresh = diff.unified_diff().context_radius(3).header(before, after).to_string();
        let file = expect_file![root().join(name)];
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
    for file in files("book/diffs", "") {
        let is_answer = ANSWERS.iter().any(|(answer, _)| *answer == file);
        if !is_answer && !differences.iter().any(|difference| difference.file == file) {
            let mend = "say it in STEPS in tests/book/steps.rs, or remove the file";
            problems.add(format!("{file} is the difference of no step: {mend}"));
        }
    }
    problems.report();
}

#[test]
fn the_answers_to_exercises_fit_their_steps() {
    let mut problems = Problems::default();
    for (answer, step) in ANSWERS {
        let (diff, text) = (read(answer).unwrap(), read(step).unwrap());
        let mut hunks = diff.split("@@ -");
        if hunks.next() != Some(&format!("--- {step}\n+++ {step}\n")) {
            problems.at(answer, 1, format!("`git apply -p0` would not find {step} by this"));
        }
        for hunk in hunks {
            let lines = hunk.split_inclusive('\n').skip(1);
            let was: String = lines.filter_map(|line| line.strip_prefix([' ', '-'])).collect();
            if text.matches(&was).count() != 1 {
                let mend = "make it anew, without context that a chapter does not show";
                problems.add(format!("{answer} does not fit {step}: {mend}. It has\n\n{was}"));
            } else if was.lines().any(is_anchor) {
                problems.add(format!("{answer} shows an anchor of {step}:\n\n{was}"));
            }
        }
    }
    problems.report();
}

#[test]
fn every_unsafe_in_a_step_has_its_safety_comment_above_it() {
    let mut problems = Problems::default();
    for step in files("steps", ".rs") {
        let text = read(&step).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            // Anchors end the comment: the passage that shows the code must show its reason too.
            let above = lines[..at].iter().rev();
            let mut above = above.take_while(|line| line.starts_with("//") && !is_anchor(line));
            let reason = |line: &&&str| {
                let reason = line.strip_prefix("// SAFETY:");
                reason.is_some_and(|reason| !reason.trim().is_empty())
            };
            if above.find(reason).is_none() {
                let mend = "say on the line above it, after `// SAFETY: `, why it is sound here";
                problems.at(&step, at + 1, format!("`{line}` has no SAFETY comment: {mend}"));
            }
        }
    }
    problems.report();
}

/// Whether a line of code opens something unsafe.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap();
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .any(|word| word == "unsafe")
}

/// The text of a step as its reader sees it.
fn without_anchors(step: &str) -> String {
    let text = read(step).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| !is_anchor(line));
    lines.collect()
}
