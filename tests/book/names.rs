//! Whatever the book names, exists: binaries, tests, benches, features, packages and files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::page::{PAGES, PAPERS, SUMMARY, files_below, read, root};
use crate::problems::Problems;

/// A package of the workspace: its targets, each with the features that it requires, and its own
/// features, each with those that it brings along.
#[derive(Default)]
pub struct Package {
    name: String,
    pub bins: BTreeMap<String, BTreeSet<String>>,
    tests: BTreeMap<String, BTreeSet<String>>,
    benches: BTreeMap<String, BTreeSet<String>>,
    features: BTreeMap<String, BTreeSet<String>>,
}

/// The folders of this repository, as the book writes them.
const FOLDERS: [&str; 7] =
    ["steps/", "book/", "tests/", "benches/", "scripts/", ".ci/", ".github/"];

#[test]
fn every_binary_test_bench_and_feature_that_is_named_exists() {
    let packages = Package::all();
    let mut problems = Problems::default();
    for (file, line, text) in places() {
        for problem in problems_with_targets(&packages, &text) {
            problems.at(&file, line, format!("`{}`: {problem}", text.trim()));
        }
    }
    problems.report();
}

#[test]
fn every_path_that_is_named_exists() {
    let folders = FOLDERS.iter().map(|folder| folder.trim_end_matches('/'));
    let files: Vec<String> = folders.flat_map(files_below).collect();
    let mut problems = Problems::default();
    for (file, line, text) in places() {
        for path in paths(&text) {
            let folder = format!("{}/", path.trim_end_matches('/'));
            if !files.iter().any(|file| is_like(file, &path) || file.starts_with(&folder)) {
                let mend = "name a file or folder of the project, or several as in steps/NN_*.rs";
                problems.at(&file, line, format!("there is no {path}: {mend}"));
            }
        }
    }
    problems.report();
}

/// A step has its number once: when steps are cut or moved, no old name may stay behind.
#[test]
fn every_step_that_is_named_exists() {
    let folders = FOLDERS.iter().map(|folder| folder.trim_end_matches('/'));
    let files: Vec<String> = folders.flat_map(files_below).collect();
    let stem = |file: &String| Path::new(file).file_stem()?.to_str().map(str::to_owned);
    let known: BTreeSet<String> = files.iter().filter_map(stem).collect();
    let papers = ["Cargo.toml", "CONTRIBUTING.md", "README.md", "README.ko.md", "book.toml"];
    let mut problems = Problems::default();
    for file in files.iter().map(String::as_str).chain(papers) {
        for (line, text) in read(file).unwrap_or_default().lines().enumerate() {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            for name in words.filter(|word| is_numbered(word)) {
                if !known.contains(name) {
                    problems.at(file, line + 1, format!("there is no `{name}`, nor a scene of it"));
                }
            }
        }
    }
    problems.report();
}

/// Whether a word is like `06_handoff`, and not a number of Rust's, `10_u64`.
fn is_numbered(word: &str) -> bool {
    let Some((number, name)) = word.split_once('_') else { return false };
    let digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    let is_type = name.strip_prefix(['f', 'i', 'u']).is_some_and(digits);
    number.len() == 2
        && digits(number)
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !is_type
}

#[test]
fn every_test_function_that_is_named_exists() {
    let sources: Vec<String> = files_below("tests")
        .iter()
        .filter(|file| file.ends_with(".rs") && !file.starts_with("tests/book/"))
        .map(|file| read(file).unwrap())
        .collect();
    let mut problems = Problems::default();
    for page in PAGES.iter().chain(PAPERS.iter()) {
        // Only a test has so many words in its name; a page may give the end of a name alone.
        let sentences = page.code.iter().filter(|(_, code)| {
            let small = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            code.matches('_').count() > 2 && code.chars().all(small)
        });
        for (line, name) in sentences {
            if !sources.iter().any(|source| source.contains(&**name)) {
                let told = format!("no test below tests/ is called `{name}`: has it a new name?");
                problems.at(&page.path, *line, told);
            }
        }
    }
    problems.report();
}

/// What is wrong with the targets and features that a command, or a piece of one, names.
fn problems_with_targets(packages: &[Package], line: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut package = &packages[0];
    let cargo = line.split_once("cargo ").map_or("", |(_, arguments)| arguments);
    for flag in ["-p", "--package"] {
        for name in values(cargo, flag) {
            match packages.iter().find(|package| package.name == name) {
                Some(found) => package = found,
                None => problems.push(format!("there is no package {name}")),
            }
        }
    }
    let mut features = BTreeSet::new();
    for name in values(line, "--features").iter().flat_map(|names| names.split([',', ' '])) {
        if !package.features.contains_key(name) {
            problems.push(no(name, "feature", package.features.keys()));
        }
        package.add_feature(name, &mut features);
    }
    // In a whole command only: elsewhere a name may stand alone.
    let command = !cargo.is_empty() && !cargo.contains("--all-features");
    let kinds = [
        ("--bin", "binary", &package.bins),
        ("--test", "test", &package.tests),
        ("--bench", "bench", &package.benches),
    ];
    for (flag, kind, known) in kinds {
        for name in values(line, flag) {
            let Some(required) = known.get(&name) else {
                problems.push(no(&name, kind, known.keys()));
                continue;
            };
            let missing: Vec<&str> = required.difference(&features).map(|name| &**name).collect();
            if command && !missing.is_empty() {
                let missing = missing.join(",");
                problems.push(format!("`{flag} {name}` needs `--features {missing}` as well"));
            }
        }
    }
    problems
}

fn no<'a>(name: &str, kind: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(|name| &**name).collect();
    format!("there is no {kind} {name}; there are: {}", known.join(", "))
}

/// What follows `flag` on a line, after a blank or `=`: one word, or several in quotes.
fn values(line: &str, flag: &str) -> Vec<String> {
    let found = line.match_indices(flag).filter_map(|(at, _)| {
        let own = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
        let value = line[at + flag.len()..].strip_prefix([' ', '='])?;
        let value = match value.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split(['"', '\'']).next().unwrap(),
            None => {
                value.split(|c: char| !c.is_ascii_alphanumeric() && !"_-,".contains(c)).next()?
            }
        };
        (own && !value.is_empty() && !value.starts_with('-')).then(|| value.to_owned())
    });
    found.collect()
}

/// The paths of this repository on a line; those of programs that cargo built become their sources.
fn paths(line: &str) -> Vec<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "_-./*".contains(c);
    let words = line.split(|c: char| !letter(c)).map(|word| word.trim_end_matches('.'));
    let words = words.map(|word| word.strip_prefix("./").unwrap_or(word));
    let paths = words.filter_map(|word| {
        let built = ["target/debug/", "target/release/"];
        match built.iter().find_map(|folder| word.strip_prefix(folder)) {
            Some(name) => Some(format!("steps/{name}.rs")),
            None if FOLDERS.iter().any(|folder| word.starts_with(folder)) => Some(word.to_owned()),
            None => None,
        }
    });
    paths.collect()
}

/// Whether `file` is one of those that `pattern` means: `NN` is two digits, `*` any letters but `/`.
fn is_like(file: &str, pattern: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("NN") {
        let digits = file.get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_digit()));
        return digits.is_some() && is_like(&file[2..], rest);
    }
    match (pattern.chars().next(), file.chars().next()) {
        (None, None) => true,
        (Some('*'), next) => {
            is_like(file, &pattern[1..])
                || next.is_some_and(|c| c != '/' && is_like(&file[c.len_utf8()..], pattern))
        }
        (Some(wanted), Some(found)) if wanted == found => {
            is_like(&file[found.len_utf8()..], &pattern[wanted.len_utf8()..])
        }
        _ => false,
    }
}

/// Every place where something is named: a piece of code in the text of a page, the text around it,
/// a line of a fence, of a console or of a script; with its file and line.
fn places() -> Vec<(String, usize, String)> {
    let mut places = Vec::new();
    for page in PAGES.iter().chain(PAPERS.iter()).chain([&*SUMMARY]) {
        // HTML comes with its code in it, which is in `code` as well.
        let prose = page.prose.iter().filter(|(_, text)| !text.contains("<code>"));
        let words = page.code.iter().chain(prose).cloned();
        let fences = page
            .fences
            .iter()
            .flat_map(|fence| commands(fence.line + 1, fence.body.iter().map(|line| &**line)));
        places.extend(words.chain(fences).map(|(line, text)| (page.path.clone(), line, text)));
    }
    for file in ["book/console", ".ci", ".github"].into_iter().flat_map(files_below) {
        let text = read(&file).unwrap();
        places.extend(commands(1, text.lines()).map(|(line, text)| (file.clone(), line, text)));
    }
    places
}

/// Lines with their numbers, counted from `first`; a command that goes on after a `\` is one.
fn commands<'a>(
    first: usize,
    lines: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    for (line, text) in (first..).zip(lines) {
        match commands.last_mut().filter(|(_, before)| before.ends_with('\\')) {
            Some((_, before)) => {
                before.pop();
                *before += text.trim_start();
            }
            None => commands.push((line, text.to_owned())),
        }
    }
    commands.into_iter()
}

impl Package {
    /// The one whose steps these are.
    pub fn own() -> Package {
        Package::all().swap_remove(0)
    }

    /// All of the workspace, the one whose steps these are first; asked of cargo.
    fn all() -> Vec<Package> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
        let told = cargo.current_dir(root()).output().unwrap();
        assert!(told.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&told.stderr));
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let mut packages: Vec<Package> = list(&told["packages"]).map(Package::read).collect();
        packages.sort_by_key(|package| package.name != env!("CARGO_PKG_NAME"));
        packages
    }

    fn read(told: &Value) -> Package {
        let mut package = Package { name: text(&told["name"]), ..Package::default() };
        for (name, brings) in told["features"].as_object().into_iter().flatten() {
            package.features.insert(name.clone(), list(brings).map(text).collect());
        }
        for target in list(&told["targets"]) {
            let known = match &*text(&target["kind"][0]) {
                "bin" => &mut package.bins,
                "test" => &mut package.tests,
                "bench" => &mut package.benches,
                _ => continue,
            };
            let required = list(&target["required-features"]).map(text).collect();
            known.insert(text(&target["name"]), required);
        }
        package
    }

    /// Adds a feature, and those that it brings along, to `all`.
    fn add_feature(&self, name: &str, all: &mut BTreeSet<String>) {
        if all.insert(name.to_owned()) {
            for brought in self.features.get(name).into_iter().flatten() {
                self.add_feature(brought, all);
            }
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
