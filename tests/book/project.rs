//! Around the book: the README, what a first run costs, nobody's own machine, mdBook itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::page::{PAGES, PAPERS, files_below, read, root};
use crate::problems::Problems;

#[test]
fn the_readmes_carry_the_title_of_the_book_and_show_real_consoles() {
    let mut problems = Problems::default();
    for paper in PAPERS.iter().filter(|paper| paper.path.starts_with("README")) {
        let (text, readme) = (&paper.source, &paper.path);
        let first = paper.headings.first().map_or("", |heading| &heading.text);
        if first != title() {
            let line = paper.headings.first().map_or(1, |heading| heading.line);
            let told = format!("the title is `{first}`: it should be book.toml's, `{}`", title());
            problems.at(readme, line, told);
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
        if scenes == 0 {
            let mend = "put `<!-- book/console/….console -->` above a fence that holds that file";
            problems.add(format!("{readme} shows no console: {mend}"));
        }
    }
    problems.report();
}

#[test]
fn a_first_run_compiles_at_most_16_crates() {
    // The default features of this one package: what `cargo run` builds, and the `cargo` that runs
    // these tests may have been asked for more.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges=normal,build"]);
    cargo.args(["--prefix=none", "--no-dedupe", "--offline", "--locked"]);
    let tree = cargo.current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(
        crates.len() <= 16,
        "`cargo run` compiles {} crates, and 16 may be. A crate that only a later step needs is \
         optional and comes with that step's feature. These are compiled:\n{}",
        crates.len(),
        crates.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, or this file would be the first to fail.
    let places = ["home", "root", "work", "Users"].map(|folder| format!("/{folder}"));
    let is_name = |letter: char| letter.is_alphanumeric() || "._-~})".contains(letter);
    let folders = ["book", "steps", "tests", "benches", "scripts", ".ci", ".github"]
        .into_iter()
        .flat_map(files_below);
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

/// The title of the book, as `book.toml` has it.
pub fn title() -> String {
    let settings = read("book.toml").unwrap();
    let title = settings.lines().find_map(|line| line.strip_prefix("title = \""));
    title.and_then(|rest| rest.strip_suffix('"')).expect("book.toml has a title").to_owned()
}
