//! A Redis server for a test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::cluster::watchdog;
use super::process::{output, spawn};
use super::{Port, is_stopped, processes, until};

/// A Redis server that a test has started, on a port of its own. Nobody else on the network can
/// reach it, and it writes nothing to a disk: once it has ended, it has forgotten all.
///
/// Dropping it ends it, and so does the end of the test, however that comes.
pub struct Redis {
    port: Port,
    password: Option<&'static str>,
    /// What `redis-server` is told beside the port.
    arguments: Vec<String>,
    running: Option<Running>,
}

struct Running {
    server: Child,
    watchdog: Child,
}

impl Redis {
    /// Starts a server, and waits until it answers. Panics where `redis-server` cannot be run.
    pub fn start() -> Redis {
        Redis::start_with(None)
    }

    /// [`Redis::start`], where the server answers only those that know the password.
    pub fn start_with_password(password: &'static str) -> Redis {
        Redis::start_with(Some(password))
    }

    fn start_with(password: Option<&'static str>) -> Redis {
        let password_too = password.map(|password| ["--requirepass", password]);
        let arguments = ["--save", "", "--appendonly", "no", "--databases", "1"];
        let arguments: Vec<&str> =
            arguments.into_iter().chain(password_too.into_iter().flatten()).collect();
        Redis::start_as(Port::reserve(), password, &arguments)
    }

    /// Starts a server at this port that is told this.
    pub(crate) fn start_as(
        port: Port,
        password: Option<&'static str>,
        arguments: &[&str],
    ) -> Redis {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut redis = Redis { port, password, arguments, running: None };
        redis.start_again();
        redis
    }

    /// Starts one server for all clusters of this test's program that are not told of another: from
    /// now on [`Cluster::spawn`](super::Cluster::spawn) gives them its address as `REDIS_URL`.
    pub fn share() -> &'static Redis {
        SHARED.get_or_init(Redis::start)
    }

    /// The server that is shared, where one is.
    pub(crate) fn shared() -> Option<&'static Redis> {
        SHARED.get()
    }

    /// Starts it at the same port after [`Redis::kill`], and waits until it answers. It is empty.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let mut command = Command::new("redis-server");
        command.args(&self.arguments);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.number.to_string()]);
        if !self.arguments.iter().any(|it| it == "--sentinel") {
            // It would begin with what another one has left in the same folder. What a master sends
            // first, a replica puts there, and is to remove it.
            command.args(["--dbfilename", &format!("of-a-test-{}.rdb", self.port.number)]);
            command.args(["--rdb-del-sync-files", "yes"]);
        }
        // It leads a group, so that the watchdog can end it, and Ctrl-C is not for it.
        command.current_dir(std::env::temp_dir()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = spawn(&mut command, &[]);
        let server = server.unwrap_or_else(|error| panic!("cannot run redis-server: {error}"));
        let watchdog = watchdog(Pid::from_raw(server.id() as i32));
        self.running = Some(Running { server, watchdog });
        until("redis-server should answer", || {
            let ended = self.running.as_mut().and_then(|it| it.server.try_wait().ok()).flatten();
            assert_eq!(ended, None, "redis-server should run, but it has ended");
            self.cli(&["PING"]) == ["PONG"]
        });
    }

    /// Whether it runs, or is stopped.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The port alone.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// The address, with the password where there is one, as `REDIS_URL` takes it.
    pub fn url(&self) -> String {
        let password = self.password.map_or(String::new(), |password| format!(":{password}@"));
        format!("redis://{password}{}", self.address())
    }

    /// Host and port alone.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// What `redis-cli` prints for this command, line by line. It waits for a server that is stopped.
    pub fn cli(&self, command: &[&str]) -> Vec<String> {
        let port = self.port.number.to_string();
        let mut arguments = vec!["-h", "127.0.0.1", "-p", &port, "--raw"];
        if let Some(password) = self.password {
            arguments.extend(["-a", password, "--no-auth-warning"]);
        }
        arguments.extend(command);
        output("redis-cli", &arguments).lines().map(str::to_owned).collect()
    }

    /// The same as `redis-cli` prints it in a terminal.
    pub fn cli_of_a_terminal(&self, command: &[String]) -> Vec<String> {
        let url = self.url();
        let mut arguments = vec!["-u", &url, "--no-raw"];
        arguments.extend(command.iter().map(String::as_str));
        output("redis-cli", &arguments).lines().map(str::to_owned).collect()
    }

    /// Ends it in order, as `redis-cli shutdown` does, and waits until it has ended.
    pub fn shut_down(&mut self) {
        self.cli(&["SHUTDOWN"]);
        until("redis-server should end once it is told to", || {
            let running = self.running.as_mut().expect("it has run until now");
            matches!(running.server.try_wait(), Ok(Some(_)))
        });
        self.kill();
    }

    /// Every key it holds, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.cli(&["KEYS", "*"]);
        keys.retain(|key| !key.is_empty());
        keys.sort();
        keys
    }

    /// Gives it an order, such as `CONFIG SET maxmemory 1`. Panics where it does not say OK.
    #[track_caller]
    pub fn order(&self, command: &str) {
        let answer = self.cli(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(answer.first().map(String::as_str), Some("OK"), "{command}: {answer:?}");
    }

    /// What it answers to this command of the user `name`, whose password is `secret`, as `redis-cli`
    /// prints it.
    pub fn answer_to(&self, name: &str, command: &str) -> String {
        let url = format!("redis://{name}:secret@{}", self.address());
        let arguments: Vec<&str> = ["-u", &url, "--no-auth-warning", "--raw"]
            .into_iter()
            .chain(command.split(' '))
            .collect();
        output("redis-cli", &arguments).trim_end().to_owned()
    }

    /// Has it fail to save the keys that it holds, as where its disk is full: its child that saves
    /// is killed. From then on it writes no more.
    pub fn fail_to_save(&self) {
        self.cli(&["CONFIG", "SET", "save", "3600 1"]);
        self.order("CONFIG SET stop-writes-on-bgsave-error yes");
        // Or the child might have ended before it is killed.
        self.order("CONFIG SET rdb-key-save-delay 60000000");
        self.cli(&["BGSAVE"]);
        until("redis-server's child should be killed before it has saved anything", || {
            let mut children = processes();
            children.retain(|process| process.parent == self.pid());
            for child in &children {
                let _ = kill(child.pid, Signal::SIGKILL);
            }
            let news = self.cli(&["INFO", "persistence"]);
            children.is_empty() && news.iter().any(|it| it == "rdb_last_bgsave_status:err")
        });
    }

    /// The number that is the answer to this command.
    #[track_caller]
    pub fn number(&self, command: &[&str]) -> i64 {
        let answer = self.cli(command);
        let number = answer.first().and_then(|line| line.parse().ok());
        number.unwrap_or_else(|| panic!("{command:?} should be a number, but it is {answer:?}"))
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let running = self.running.as_ref().expect("it runs");
        Pid::from_raw(running.server.id() as i32)
    }

    /// Stops it: connections stay open, and nothing is answered.
    pub fn stop(&self) {
        killpg(self.pid(), Signal::SIGSTOP).expect("it runs");
        until("redis-server should be stopped", || is_stopped(self.pid()));
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        killpg(self.pid(), Signal::SIGCONT).expect("it runs");
    }

    /// Kills it: connections end, and its port refuses others.
    pub fn kill(&mut self) {
        let Some(Running { mut server, mut watchdog }) = self.running.take() else { return };
        // Its group has its id, and no other can, until it is waited for.
        let _ = killpg(Pid::from_raw(server.id() as i32), Signal::SIGKILL);
        // The watchdog stands down first.
        if let Some(mut stdin) = watchdog.stdin.take() {
            let _ = stdin.write_all(b"stand down\n");
        }
        let _ = watchdog.wait();
        let _ = server.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

static SHARED: OnceLock<Redis> = OnceLock::new();

/// A server in the place of a Redis, which gives the same answer to each command, or none to the first
/// where that is empty. Returns its address.
pub fn always_answers(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    // Each command begins with an asterisk.
    let talk = move |client: &mut TcpStream| {
        let mut commands = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut commands) {
            let count = commands[..length].iter().filter(|byte| **byte == b'*').count();
            if answer.is_empty() || client.write_all(answer.repeat(count).as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || listener.incoming().flatten().for_each(|mut it| talk(&mut it)));
    address
}
