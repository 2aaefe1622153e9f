//! A step at a path of its own, where another program can take its place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use super::process::spawn;
use super::step;

/// A step that was put into a folder of its own. Dropping it removes the folder.
///
/// Files are linked and renamed, never written: while any process has a program open to write into
/// it, such as a child that another test is about to start, nobody can run that program.
pub struct Installed {
    folder: PathBuf,
    path: PathBuf,
}

impl Installed {
    /// Puts the step `name` into a new folder, beside the one in which Cargo has put it.
    pub fn new(name: &str) -> Installed {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let built = PathBuf::from(step(name).get_program());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{name}-{}-{number}", std::process::id());
        let folder = built.parent().expect("it is in a folder").join(folder);
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let path = folder.join(name);
        fs::hard_link(&built, &path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Installed { folder, path }
    }

    /// Renames a file of the folder, as mv(1) does.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    /// The command that runs what is there now.
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// From now on `program` is run where the step was.
    pub fn replace_by(&self, program: &Path) {
        let new = self.folder.join("new");
        std::os::unix::fs::symlink(program, &new).expect("a new name");
        fs::rename(new, &self.path).expect("both are in the same folder");
    }

    /// From now on a program is run there that ends at once, with code 1.
    pub fn replace_by_a_failure(&self) {
        let failure = ["/bin/false", "/usr/bin/false"].map(Path::new);
        let there = failure.into_iter().find(|path| path.exists());
        self.replace_by(there.expect("false(1) is in one of these folders"));
    }

    /// From now on this script of sh(1) is run there.
    pub fn replace_by_script(&self, script: &str) {
        let path = self.folder.join("script");
        // Another process writes it, so that no child of this one has it open.
        let mut sh = Command::new("sh");
        sh.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\".new && chmod +x \"$0\".new"]);
        sh.arg(&path).arg(script);
        let done = spawn(&mut sh, &[]).and_then(|mut sh| sh.wait()).expect("sh runs");
        assert!(done.success(), "sh: {done}");
        fs::rename(path.with_extension("new"), &path).expect("both are in the same folder");
        self.replace_by(&path);
    }

    /// From now on nothing is there.
    pub fn remove(&self) {
        fs::remove_file(&self.path).expect("something was there");
    }

    /// The folder, for what a program needs besides.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
