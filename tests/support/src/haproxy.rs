//! A HAProxy for a test, with the configuration that the book shows.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::cluster::watchdog;
use super::process::spawn;
use super::{OrFail, Port, agent, root, until};

/// A HAProxy that a test has started with `steps/haproxy/hosts.cfg`, on ports of its own. Its
/// visitors come to `front`; behind it are the hosts `a` and `b`.
///
/// Dropping it ends it, and so does the end of the test, however that comes.
pub struct Haproxy {
    pub front: Port,
    /// Where it takes TLS, if the configuration does.
    pub secure: Port,
    stats: Port,
    server: Child,
    watchdog: Child,
}

/// The configuration that the book shows.
pub fn hosts_cfg() -> PathBuf {
    root().join("steps/haproxy/hosts.cfg")
}

impl Haproxy {
    /// Starts it in front of two hosts, `ADDRESS:PORT`, with these settings besides, and waits until
    /// it has found both well. It gives a host more time than by default to say so: a busy machine
    /// is no reason to leave it.
    pub fn start(hosts: [&str; 2], settings: &[(&str, &str)]) -> Haproxy {
        Haproxy::start_with(&hosts_cfg(), hosts, settings)
    }

    /// [`Haproxy::start`] with this configuration.
    pub fn start_with(config: &Path, hosts: [&str; 2], settings: &[(&str, &str)]) -> Haproxy {
        let haproxy = Haproxy::spawn(config, hosts, settings);
        for host in ["a", "b"] {
            haproxy.until_up(host);
        }
        haproxy
    }

    fn spawn(config: &Path, hosts: [&str; 2], settings: &[(&str, &str)]) -> Haproxy {
        let [front, secure, stats] = [(); 3].map(|()| Port::reserve());
        let mut command = Command::new("haproxy");
        // A master, which starts another process to serve, and a new one where it is sent USR2.
        command.arg("-W").arg("-f").arg(config);
        for (name, port) in [("FRONT", &front), ("SECURE", &secure), ("STATS", &stats)] {
            command.env(name, format!("127.0.0.1:{}", port.number));
        }
        command.env("HOST_A", hosts[0]).env("HOST_B", hosts[1]).env("CHECK_TIMEOUT", "2s");
        for name in ["RETRY_ON", "ON_DOWN", "CERTIFICATE"] {
            command.env_remove(name);
        }
        command.envs(settings.iter().copied());
        // It leads a group, so that the watchdog can end it, and Ctrl-C is not for it.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = spawn(&mut command, &[]);
        let server = server.unwrap_or_else(|error| panic!("cannot run haproxy: {error}"));
        let watchdog = watchdog(Pid::from_raw(server.id() as i32));
        let mut haproxy = Haproxy { front, secure, stats, server, watchdog };
        until("haproxy should answer", || {
            let ended = haproxy.server.try_wait().ok().flatten();
            assert_eq!(ended, None, "haproxy should run with {config:?}, but it has ended");
            haproxy.table().is_ok()
        });
        haproxy
    }

    /// What its page knows of the host, or of `BACKEND`, both together: `status`, say, or `wredis`.
    #[track_caller]
    pub fn tells(&self, host: &str, what: &str) -> String {
        let table = self.table().or_fail("haproxy should answer");
        let mut rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
        let names = rows.next().expect("the names of the columns");
        let column = names.iter().position(|name| *name == what).expect("there is such a column");
        let row = rows.find(|row| row.starts_with(&["cluster", host]));
        row.expect("there is such a host")[column].to_owned()
    }

    /// [`Haproxy::tells`], where that is a number.
    #[track_caller]
    pub fn count(&self, host: &str, what: &str) -> usize {
        self.tells(host, what).parse().expect("a number")
    }

    fn table(&self) -> Result<String, ureq::Error> {
        agent().get(format!("{}/;csv", self.page())).call()?.body_mut().read_to_string()
    }

    fn page(&self) -> String {
        format!("http://127.0.0.1:{}", self.stats.number)
    }

    /// Waits until it has asked this host, and found it well.
    #[track_caller]
    pub fn until_up(&self, host: &str) {
        until(&format!("haproxy should find host {host} well"), || {
            // Before it has asked, it takes a host for well.
            self.tells(host, "status") == "UP" && self.tells(host, "check_status").ends_with("OK")
        });
    }

    /// Waits until it has found that this host is not well.
    #[track_caller]
    pub fn until_down(&self, host: &str) {
        until(&format!("haproxy should find that host {host} is gone"), || {
            self.tells(host, "status") == "DOWN"
        });
    }

    /// Has it do something with the host, as the form on its page does: `drain`, or `ready`.
    #[track_caller]
    pub fn order(&self, action: &str, host: &str) {
        let form = [("s", host), ("action", action), ("b", "cluster")];
        let post = agent().post(self.page()).config().max_redirects(0).build();
        let answer = post.send_form(form).or_fail("haproxy should answer");
        let place = answer.headers().get("location").and_then(|it| it.to_str().ok());
        assert_eq!(place, Some("/;st=DONE"), "haproxy should {action} host {host}");
    }

    /// Has it read its configuration once more, as `systemctl reload haproxy` does, and waits until a
    /// new process serves. The old one finishes.
    #[track_caller]
    pub fn reload(&self) {
        let old = self.who_serves();
        let mut asked = None::<Instant>;
        until("another process of haproxy should serve", || {
            // A master that is still busy with the reload before may not hear of this one.
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(2)) {
                kill(Pid::from_raw(self.server.id() as i32), Signal::SIGUSR2).expect("it runs");
                asked = Some(Instant::now());
            }
            self.who_serves() != old
        });
    }

    /// The process id on its page.
    fn who_serves(&self) -> String {
        let page = agent().get(self.page()).call().or_fail("haproxy should answer");
        let page = page.into_body().read_to_string().or_fail("haproxy should answer");
        let (_, rest) = page.split_once("<b>pid = </b> ").expect("it says who it is");
        rest.split(' ').next().expect("a number").to_owned()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Its group has its id, and no other can, until it is waited for.
        let _ = killpg(Pid::from_raw(self.server.id() as i32), Signal::SIGKILL);
        // The watchdog stands down first.
        if let Some(mut stdin) = self.watchdog.stdin.take() {
            let _ = stdin.write_all(b"stand down\n");
        }
        let _ = self.watchdog.wait();
        let _ = self.server.wait();
    }
}
