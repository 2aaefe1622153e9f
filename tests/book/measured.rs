//! What was measured: one data file, and the tables and plots that are made from it. And the bench
//! that measures, as far as it is not started to do so.

#[path = "../../benches/measure/options.rs"]
#[allow(dead_code, reason = "the bench uses the rest of it")]
mod options;
#[path = "../../benches/measure/report.rs"]
pub mod report;

use std::env;

use expect_test::expect_file;
use serde_json::Value;

use options::{Options, Wanted};

use crate::page::{LANGUAGES, PAGES, files, read, root};
use crate::problems::Problems;

const FOLDER: &str = "book/measured";

#[test]
fn the_measured_tables_and_plots_are_those_of_the_data_file() {
    let mut problems = Problems::default();
    let data = data();
    let mut made = report::files(&data);
    made.push((report::DATA.to_owned(), report::text(&data)));
    for (name, fresh) in &made {
        let file = expect_file![root().join(FOLDER).join(name)];
        if env::var_os("UPDATE_EXPECT").is_some() {
            file.assert_eq(fresh);
        }
        if file.data() != *fresh {
            problems.add(format!(
                "{FOLDER}/{name} is not what {FOLDER}/{} makes of it. To refresh it:\n\n    \
                 UPDATE_EXPECT=1 cargo test --test book\n\n  It should be:\n\n{fresh}",
                report::DATA
            ));
        }
    }
    for file in files(FOLDER, "") {
        if !made.iter().any(|(name, _)| file == format!("{FOLDER}/{name}")) {
            problems.add(format!("{file} is made from nothing that was measured: remove it"));
        }
    }
    problems.report();
}

#[test]
fn every_measured_table_and_plot_is_shown_in_its_language() {
    let mut problems = Problems::default();
    for (name, _) in report::files(&data()) {
        let file = format!("{FOLDER}/{name}");
        for language in LANGUAGES.iter().filter(|it| name.contains(&format!(".{it}."))) {
            let mut pages = PAGES.iter().filter(|page| page.language() == Some(language));
            if !pages.any(|page| page.includes.iter().any(|include| include.file == file)) {
                problems.add(format!("no page in book/{language} includes {file}"));
            }
        }
    }
    problems.report();
}

#[test]
fn every_number_of_a_plot_is_written_out() {
    let mut problems = Problems::default();
    for (name, plot) in report::files(&data()) {
        for text in plot.split("</text>").filter_map(|text| text.rsplit('>').next()) {
            let short = text.strip_suffix(['k', 'M']);
            if short.is_some_and(|it| it.ends_with(|letter: char| letter.is_ascii_digit())) {
                problems.add(format!("{FOLDER}/{name}: `{text}`, where other plots write 1,000"));
            }
        }
    }
    problems.report();
}

#[test]
fn the_page_on_speed_says_with_how_many_connections_it_was_measured() {
    let data = data();
    let mut problems = Problems::default();
    for page in PAGES.iter().filter(|page| page.name() == "speed.md") {
        for part in ["load", "reload", "grow"] {
            let Some(connections) = data["parts"][part]["connections"].as_u64() else { continue };
            let connections = connections.to_string();
            let mut words = page.source.split(|letter: char| !letter.is_ascii_digit());
            if !words.any(|word| word == connections) {
                let told = format!("`{part}` was measured with {connections} connections: say so");
                problems.at(&page.path, 1, told);
            }
        }
    }
    problems.report();
}

#[test]
fn the_book_shows_nothing_that_was_measured_in_a_hurry() {
    let mut problems = Problems::default();
    for (part, measured) in data()["parts"].as_object().expect("it has parts") {
        if measured["quick"] != false {
            problems.add(format!(
                "{FOLDER}/{}: `{part}` is of a run with --quick, which only shows that it works. \
                 Measure it: cargo bench --all-features -- --into-book {part}",
                report::DATA
            ));
        }
    }
    problems.report();
}

/// `cargo test --all-targets a_filter` hands the bench what it hands the tests.
#[test]
fn the_bench_does_nothing_where_it_was_not_started_by_cargo_bench() {
    let read = |typed: &str| {
        let arguments = typed.split_whitespace().map(str::to_owned);
        Options::read(arguments, &[("start", "how long it takes")])
    };
    for typed in ["", "a_filter", "start", "--quick", "--help", "--exact a_filter --nocapture"] {
        let wanted = read(typed);
        assert!(matches!(wanted, Ok(Wanted::Nothing)), "without --bench, but with {typed:?}");
    }
    for typed in ["--bench", "start --bench", "--bench --quick start"] {
        let wanted = read(typed);
        assert!(matches!(wanted, Ok(Wanted::Parts(_))), "{typed:?} should measure");
    }
    assert!(read("a_filter --bench").is_err(), "a part that is none should be an error");
}

fn data() -> Value {
    let path = format!("{FOLDER}/{}", report::DATA);
    let text = read(&path).unwrap_or_else(|problem| panic!("{problem}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
