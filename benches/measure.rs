//! Measures this book's servers beside Node's cluster, pm2 and nginx, on this machine and in one run.
//!
//! `cargo bench --all-features` writes what it measured to `book/measured/data.json`, and the tables
//! and plots of the page "How fast is it?" beside it. `cargo bench --all-features -- --help` says
//! what else it can do.

#[path = "measure/beyond.rs"]
mod beyond;
#[path = "measure/load.rs"]
mod load;
#[path = "measure/machine.rs"]
mod machine;
#[path = "measure/options.rs"]
mod options;
#[path = "measure/parts.rs"]
mod parts;
#[path = "measure/report.rs"]
mod report;
#[path = "measure/servers.rs"]
mod servers;
#[path = "measure/soak.rs"]
mod soak;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use indicatif::HumanDuration;
use serde_json::{Value, json};

use options::{Options, Wanted};
use parts::{Bench, PARTS, Part};

fn main() -> ExitCode {
    let parts: Vec<_> = PARTS.iter().map(|part| (part.name, part.about)).collect();
    let done = match Options::read(env::args().skip(1), &parts) {
        Ok(Wanted::Nothing) => return ExitCode::SUCCESS,
        Ok(Wanted::Help(help)) => {
            println!("{help}");
            Ok(())
        }
        Ok(Wanted::Soak(minutes)) => soak::run(minutes),
        Ok(Wanted::Parts(options)) => measure(&options),
        Err(error) => Err(error),
    };
    servers::clean_up();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let folder = options.folder();
    let before = options.merges().then(|| fs::read_to_string(folder.join(report::DATA)));
    let machine = machine::here();
    let mut data = match before {
        None => json!({ "machine": machine, "parts": {} }),
        Some(text) => {
            let text = text.map_err(|error| format!("{}: {error}", report::DATA))?;
            let data: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if data["machine"] != machine {
                let other = "the book's figures are of another machine, or of other versions";
                return Err(format!("{other}: measure all parts together, without naming any"));
            }
            data
        }
    };
    let bench = Bench::new(options.quick)?;
    eprintln!("{}", machine::told(&machine));
    let parts: Vec<&Part> = PARTS.iter().filter(|part| options.has(part.name)).collect();
    for (at, part) in parts.iter().enumerate() {
        bench.begin(part, at + 1, parts.len());
        let begun = Instant::now();
        let mut measured = (part.measure)(&bench)?;
        measured["date"] = json!(machine::today());
        measured["seconds"] = json!(begun.elapsed().as_secs());
        measured["quick"] = json!(options.quick);
        data["parts"][part.name] = measured;
        bench.end();
    }
    for name in report::TABLES.iter().map(|(name, _)| *name) {
        if let Some(table) = report::table(&data, name, "en")
            && parts.iter().any(|part| part.tables.contains(&name))
        {
            println!("\n{}", table.trim_end());
        }
    }
    let files = report::files(&data);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(&folder, report::DATA, &report::text(&data))?;
    for (name, text) in &files {
        write(&folder, name, text)?;
    }
    println!("\n{} in all; see {}", HumanDuration(start.elapsed()), folder.display());
    if !options.is_for_the_book() {
        println!("The book keeps its figures; `--into-book` puts these into it.");
    }
    let failures = bench.failures.into_inner();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}
