//! npm's pm2, with a daemon and a folder of its own.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use std::os::unix::process::CommandExt;

use nix::unistd::Pid;

use super::process::spawn;
use super::{Port, connect, pid};

/// How long one command of pm2 may take. It starts Node, and may have to wait for an app to end.
const MOST: Duration = Duration::from_secs(40);

/// npm's pm2, with a daemon and a folder of its own, and a port for the app.
///
/// Dropping it ends the daemon and all of its apps. So does the end of the test, however it comes.
pub struct Pm2 {
    pub port: Port,
    home: PathBuf,
    keeper: Child,
}

/// What a command of pm2 printed, stdout and stderr in one, and whether it ended with status 0.
#[derive(Debug)]
pub struct Told {
    pub is_success: bool,
    pub text: String,
}

impl Pm2 {
    /// Makes the folder, and starts nothing yet: pm2's first command starts its daemon. The program
    /// is `$PM2`, or `pm2` as the shell would find it.
    pub fn new() -> Pm2 {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // The daemon makes sockets in it, and the path of a socket may not be long: unix(7).
        let name = format!("pm2-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let home = env::temp_dir().join(name);
        fs::create_dir_all(&home).expect("a folder for temporary files");
        // It stays when this test is gone, and sees that by the end of its stdin.
        let mut keeper = Command::new("sh");
        let end = "read -r _; \"$0\" kill >\"$PM2_HOME/end\" 2>&1 || kill -s KILL \
                   \"$(cat \"$PM2_HOME/pm2.pid\")\"; rm -r \"$PM2_HOME\"";
        keeper.args(["-c", end]).arg(program()).process_group(0);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let port = Port::reserve();
        surroundings(&mut keeper, &home, &port);
        let keeper = spawn(&mut keeper, &[]).expect("sh runs");
        Pm2 { port, home, keeper }
    }

    /// Writes the text of the app `name` in the place of the one before, and returns its path.
    pub fn app(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        fs::write(&path, text).expect("the folder is there");
        path.into_os_string().into_string().expect("the path is text")
    }

    /// Runs one command of pm2. Panics where it does not end.
    pub fn tell(&self, arguments: &[&str]) -> Told {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("told-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let path = self.home.join(name);
        let output = File::create(&path).expect("the folder is there");
        let mut command = Command::new(program());
        command.args(arguments).stdin(Stdio::null()).stderr(output.try_clone().unwrap());
        command.stdout(output);
        surroundings(&mut command, &self.home, &self.port);
        let mut child = spawn(&mut command, &[]).unwrap_or_else(|error| {
            panic!("cannot run {:?}: {error}; set PM2 to where it is", program())
        });
        let deadline = Instant::now() + MOST;
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is ours to wait for") {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("pm2 {arguments:?} did not end within {MOST:?}:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        };
        let text = fs::read_to_string(path).expect("it has just been written");
        Told { is_success: status.success(), text }
    }

    /// Runs one command of pm2. Panics where it fails.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) {
        let Told { is_success, text } = self.tell(arguments);
        assert!(is_success, "pm2 {arguments:?} should work, but it says:\n{text}");
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("pm2.log")).unwrap_or_default()
    }

    /// The daemon's process id.
    pub fn daemon(&self) -> Option<Pid> {
        pid(fs::read_to_string(self.home.join("pm2.pid")).ok()?.trim())
    }

    /// Opens a connection to the app. Panics where nobody listens.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        connect(self.port.number)
    }
}

impl Default for Pm2 {
    fn default() -> Pm2 {
        Pm2::new()
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn program() -> std::ffi::OsString {
    env::var_os("PM2").unwrap_or("pm2".into())
}

/// What the daemon inherits from its first command, and its apps from it: nothing that could make a
/// difference. pm2 asks nobody on the network whether there is a newer one.
fn surroundings(command: &mut Command, home: &PathBuf, port: &Port) {
    command.env_clear().current_dir(home);
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("PM2_HOME", home).env("PORT", port.number.to_string());
    command.env("NO_COLOR", "1");
    command.env("PM2_DISABLE_VERSION_CHECK", "true").env("PM2_DISCRETE_MODE", "true");
}
