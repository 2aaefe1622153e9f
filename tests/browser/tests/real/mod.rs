//! The real programs, beside what the page shows of them.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Once;

use browser_tests::{PATIENCE, project};
use support::{Cluster, Console, Ended};

/// The real program.
pub fn real(step: &str, workers: usize) -> Cluster {
    build();
    let mut command = support::step(step);
    command.env("WORKERS", workers.to_string());
    Cluster::spawn(command, Console::Read)
}

/// What the program prints next, `count` lines of it or fewer.
pub fn lines(real: &mut Cluster, count: usize) -> Vec<String> {
    (0..count).map_while(|_| real.next_line(PATIENCE)).collect()
}

/// Waits until the last process of it is gone: what it had still to say, and `echo $?`.
pub fn end(real: &mut Cluster) -> (Vec<String>, i64) {
    let Ended { lines, status, .. } = real.wait_for_end();
    (lines, status.code().unwrap_or_else(|| 128 + status.signal().unwrap()).into())
}

/// A second, by the clock of a worker of 01_crash: it ends a second after its first answer.
pub fn a_second() {
    let mut clock = real("01_crash", 1);
    lines(&mut clock, 2);
    clock.assert_answers();
    end(&mut clock);
}

/// Builds the steps, with the profile and the target folder of this test: Cargo does so before the
/// tests of their own package only.
pub fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let profile = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--bins", "--features", "redis", "--target-dir"])
            .arg(profile.parent().unwrap())
            .args((profile.ends_with("release")).then_some("--release"))
            .current_dir(project())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the steps do not build");
    });
}
