//! Code, consoles and diffs come by include only, and all of them are shown.

use std::collections::BTreeSet;

use crate::figures::WORDS;
use crate::page::{Fence, Include, PAGES, files};
use crate::problems::Problems;

#[test]
fn every_scene_figure_and_diff_is_shown_on_some_page() {
    let shown: BTreeSet<&str> =
        PAGES.iter().flat_map(|page| &page.includes).map(|include| &*include.file).collect();
    let folders = ["book/console", "book/figures", "book/diffs"];
    let orphans = folders.iter().flat_map(|folder| files(folder, ""));
    let orphans = orphans.filter(|file| !shown.contains(&**file) && file != WORDS);
    let told = orphans.map(|file| format!("no page includes {file}: show it or remove it"));
    Problems(told.collect()).report();
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
                "conf" | "yaml" => ("", "", "a file of scripts/ or beside the steps, by include"),
                "sh" | "text" => ("", "", "what is typed or printed"),
                _ => (
                    "-",
                    "-",
                    "nothing (there are rust, js, console, diff, conf, yaml, sh and text)",
                ),
            };
            let is_beside_steps = |file: &str| {
                let in_steps = file.strip_prefix("steps/").filter(|it| !it.starts_with("node/"));
                file.starts_with("scripts/") || in_steps.is_some_and(|file| file.contains('/'))
            };
            let fits = |line| match page.include_at(line) {
                None => folder.is_empty() && !matches!(&**info, "conf" | "yaml"),
                Some(Include { file, .. }) if matches!(&**info, "conf" | "yaml") => {
                    is_beside_steps(file)
                }
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
            // Figures, and tables and plots of what was measured: one file for each language.
            let drawn = ["book/figures/", "book/measured/"].iter().any(|it| file.starts_with(it));
            let language = page.language().unwrap_or_default();
            let own = ["md", "svg"].iter().any(|it| file.ends_with(&format!(".{language}.{it}")));
            if drawn && !own {
                let told =
                    format!("`{directive}`: a page in book/{language} has the .{language} one");
                problems.at(&page.path, *line, told);
            } else if !(drawn && anchor.is_none()) && page.fence_at(*line).is_none() {
                problems.at(&page.path, *line, format!("`{directive}` outside a fence"));
            }
        }
    }
    problems.report();
}
