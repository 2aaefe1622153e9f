//! What is typed after `--`.

use std::path::{Path, PathBuf};

/// What a run is to do.
pub enum Wanted {
    Parts(Options),
    /// For so many minutes.
    Soak(f64),
    /// To say this.
    Help(String),
    /// It was not `cargo bench` that started it: `cargo test --all-targets` does too, with a filter
    /// for tests and their options.
    Nothing,
}

/// Which parts to measure, how long, and where to.
pub struct Options {
    pub quick: bool,
    into_book: bool,
    parts: Vec<String>,
}

impl Options {
    /// Reads the arguments; `known` are the parts, each with what it is about.
    pub fn read(
        arguments: impl Iterator<Item = String>,
        known: &[(&str, &str)],
    ) -> Result<Wanted, String> {
        let arguments: Vec<String> = arguments.collect();
        // `cargo bench` adds it.
        let (by_cargo_bench, arguments): (Vec<_>, Vec<_>) =
            arguments.into_iter().partition(|argument| argument == "--bench");
        if by_cargo_bench.is_empty() {
            return Ok(Wanted::Nothing);
        }
        let mut options = Options { quick: false, into_book: false, parts: Vec::new() };
        let (mut soak, mut minutes) = (false, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--help" | "-h" => return Ok(Wanted::Help(help(known))),
                "--quick" => options.quick = true,
                "--into-book" => options.into_book = true,
                "--minutes" => {
                    let value = arguments.next().unwrap_or_default();
                    let number = value.parse().ok().filter(|minutes| *minutes > 0.0);
                    minutes = Some(number.ok_or(format!("--minutes {value:?}: not a number"))?);
                }
                "soak" => soak = true,
                part if known.iter().any(|(name, _)| *name == part) => {
                    options.parts.push(argument);
                }
                unknown => {
                    return Err(format!("{unknown:?} is no part and no option\n\n{}", help(known)));
                }
            }
        }
        if minutes.is_some() && !soak {
            return Err("--minutes is for the soak".to_owned());
        }
        if soak && !options.parts.is_empty() {
            return Err("a soak is a run of its own: name no other part".to_owned());
        }
        if soak {
            return Ok(Wanted::Soak(minutes.unwrap_or(15.0)));
        }
        Ok(Wanted::Parts(options))
    }

    /// Whether to measure the part `name`: one that was asked for, or any where none was.
    pub fn has(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| part == name)
    }

    /// Whether the book gets the figures: those of all parts at full length, or those that it was
    /// told to take.
    pub fn is_for_the_book(&self) -> bool {
        self.into_book || (self.parts.is_empty() && !self.quick)
    }

    /// Whether the parts that are not measured stay as they are in the book.
    pub fn merges(&self) -> bool {
        self.into_book && !self.parts.is_empty()
    }

    pub fn folder(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if self.is_for_the_book() {
            root.join("book/measured")
        } else {
            root.join("target/measured")
        }
    }
}

fn help(known: &[(&str, &str)]) -> String {
    let parts = known.iter().map(|(name, about)| format!("  {name:<10}{about}\n"));
    format!(
        "Usage: cargo bench --all-features -- [OPTION]... [PART]...\n\n\
         Measures the parts named, or all of them.\n\n\
         Parts:\n{}\n\
         Options:\n  \
         --quick      the shortest run that still does all: to see that it works, not to measure\n  \
         --into-book  write to book/measured/ also what is quick or only a part; without it such a\n               \
         run writes to target/measured/\n  \
         --help       this\n\n\
         A run of its own:\n  \
         soak [--minutes 15]  12_reload under load, with a reload a second and random kills",
        parts.collect::<String>()
    )
}
