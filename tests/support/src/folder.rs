//! A folder for a test's files.

use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use super::process::spawn;

/// An empty folder among the temporary files, with a short path: that of a socket in it may not be long,
/// unix(7).
///
/// Dropping it removes it with all that is in it; so does the end of the test, however that comes.
pub struct Folder {
    pub path: PathBuf,
    watchdog: Child,
}

impl Folder {
    /// Panics where there can be no such folder.
    pub fn create() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("test-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut command = Command::new("sh");
        // A server that is about to be ended may write into it once more.
        command.args(["-c", "read -r _; rm -rf \"$0\"; sleep 1; rm -rf \"$0\""]);
        command.arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = spawn(&mut command, &[]).expect("sh runs");
        Folder { path, watchdog }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = fs::remove_dir_all(&self.path);
    }
}
