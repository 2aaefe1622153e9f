//! What is measured: each server by its name, how it is started, and how it is told to reload.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use support::{Cluster, Console, Pid, Port, Signal, is_dead, node, pid, step};

use crate::machine::is_installed;
use crate::report::BINARY;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server to measure. To add one, add a row to [`SUBJECTS`] and its title to `TITLES` in report.rs.
pub struct Subject {
    pub name: &'static str,
    kind: Kind,
    /// What has to be installed.
    needs: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nginx,
    Step,
    /// A step whose page is another for each visitor, who is counted in Redis.
    StepWithRedis,
    Node,
    /// pm2 in cluster mode; its page, in JavaScript.
    Pm2(&'static str),
}

pub const SUBJECTS: &[Subject] = &[
    Subject { name: "nginx", kind: Kind::Nginx, needs: &["nginx"] },
    Subject { name: "00_fork", kind: Kind::Step, needs: &[] },
    Subject { name: "03_respawn", kind: Kind::Step, needs: &[] },
    Subject { name: "05_loop", kind: Kind::Step, needs: &[] },
    Subject { name: "06_handoff", kind: Kind::Step, needs: &[] },
    Subject { name: "12_reload", kind: Kind::Step, needs: &[] },
    Subject { name: "14_redis", kind: Kind::StepWithRedis, needs: &["redis-server"] },
    Subject { name: "node", kind: Kind::Node, needs: &["node"] },
    Subject { name: "pm2", kind: Kind::Pm2(PLAIN), needs: &["node", "pm2"] },
    Subject { name: "pm2_graceful", kind: Kind::Pm2(GRACEFUL), needs: &["node", "pm2"] },
];

/// The twins' page, without a cluster of its own.
const PLAIN: &str = "
import http from 'node:http';
const server = http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
  response.write('<h1>Hello Node!</h1>');
  response.end('<p>Hello Cluster!</p>');
});
server.listen(process.env.PORT, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
";

/// The same, and it takes its leave as pm2's manual advises.
const GRACEFUL: &str = "
import http from 'node:http';
const server = http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8' });
  response.write('<h1>Hello Node!</h1>');
  response.end('<p>Hello Cluster!</p>');
});
server.listen(process.env.PORT, '127.0.0.1', () => console.log(`${process.pid}번 워커 실행`));
process.on('SIGINT', () => server.close(() => process.exit(0)));
";

/// The name of the one app that pm2 runs.
const APP: &str = "page";

/// A server that runs. Dropping it ends all of its processes, and so does the end of this program.
pub struct Server {
    pub name: &'static str,
    pub port: Port,
    kind: Kind,
    cluster: Cluster,
    pub workers: usize,
    born: Instant,
    /// The workers that said that they run.
    announced: Vec<Pid>,
    _redis: Option<Cluster>,
}

impl Subject {
    pub fn named(name: &str) -> &'static Subject {
        SUBJECTS.iter().find(|subject| subject.name == name).expect(name)
    }

    /// What is not installed of what it needs.
    pub fn missing(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Step | Kind::StepWithRedis => missing(self.needs, &[self.name]),
            _ => missing(self.needs, &[]),
        }
    }

    /// Starts it, with Redis before it where it needs that, and waits for nothing else.
    pub fn start(&self, workers: usize) -> Result<Server, String> {
        let port = Port::reserve();
        let mut redis = None;
        let mut command = match self.kind {
            Kind::Step => step(self.name),
            Kind::StepWithRedis => {
                let (server, url) = start_redis()?;
                redis = Some(server);
                let mut command = step(self.name);
                command.env("REDIS_URL", url);
                command
            }
            Kind::Node => node("06_handoff"),
            Kind::Nginx => nginx(port.number, workers)?,
            Kind::Pm2(page) => pm2(page, workers)?,
        };
        command.env("WORKERS", workers.to_string()).env("PORT", port.number.to_string());
        let born = Instant::now();
        let cluster = Cluster::spawn(command, Console::Read);
        let Subject { name, kind, .. } = *self;
        let announced = Vec::new();
        Ok(Server { name, port, kind, cluster, workers, born, announced, _redis: redis })
    }

    /// Starts it and waits until all of its workers answer. Returns how long that took.
    pub fn start_and_wait(&self, workers: usize) -> Result<(Server, Duration), String> {
        let mut server = self.start(workers)?;
        server.until("all workers should run", |server| server.workers().len() == workers)?;
        server.answer()?;
        let took = server.born.elapsed();
        Ok((server, took))
    }
}

/// Which of these tools is not installed or, with its feature, which of these steps is not built.
pub fn missing(tools: &[&'static str], steps: &[&str]) -> Option<&'static str> {
    let tool = tools.iter().find(|tool| !is_installed(tool)).copied();
    let is_built = |name: &&str| PathBuf::from(step(name).get_program()).exists();
    tool.or_else(|| (!steps.iter().all(is_built)).then_some(BINARY))
}

impl Server {
    /// The primary: of nginx the master, of pm2 its daemon.
    pub fn primary(&self) -> Pid {
        self.cluster.primary
    }

    /// The workers that run now: those that said so or, for nginx, which says nothing, that exist.
    pub fn workers(&mut self) -> Vec<Pid> {
        if self.kind == Kind::Nginx {
            return self.children();
        }
        while let Some(line) = self.cluster.next_line(Duration::ZERO) {
            // pm2's own lines have no such end.
            self.announced.extend(line.strip_suffix("번 워커 실행").and_then(pid));
        }
        self.announced.retain(|worker| !is_dead(*worker));
        self.announced.clone()
    }

    /// Looks again and again until `done`.
    pub fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Server) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > deadline || is_dead(self.primary()) {
                let (console, stderr) = (self.cluster.console(), self.cluster.stderr());
                return Err(format!("{}: {what}, but:\n{console}\n{stderr}", self.name));
            }
            sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Asks for the page until it comes.
    pub fn answer(&mut self) -> Result<(), String> {
        let port = self.port.number;
        self.until("it should answer", |_| ask(port).is_ok())
    }

    /// Whether its workers compile the page while they run, and are fast once they have.
    pub fn warms_up(&self) -> bool {
        matches!(self.kind, Kind::Node | Kind::Pm2(_))
    }

    /// Tells it to reload.
    pub fn reload(&self) -> Result<(), String> {
        match self.kind {
            Kind::Pm2(_) => {
                let mut pm2 = Command::new("pm2");
                pm2.args(["reload", APP]).env("PM2_HOME", pm2_home());
                let output = pm2.stdin(Stdio::null()).output();
                let output = output.map_err(|error| format!("pm2: {error}"))?;
                let told = || String::from_utf8_lossy(&output.stderr).into_owned();
                output.status.success().then_some(()).ok_or_else(told)
            }
            _ => self.kill(self.primary(), Signal::SIGHUP),
        }
    }

    /// The primary's children, whatever they have said.
    pub fn children(&self) -> Vec<Pid> {
        self.cluster.children().iter().map(|child| child.pid).collect()
    }

    /// Tells it to reload, and waits until all of its workers are new and as many as they were.
    pub fn reload_and_wait(&mut self) -> Result<(), String> {
        let old = self.workers();
        self.reload()?;
        self.until("a reload should end", |server| {
            let now = server.workers();
            now.len() == server.workers && now.iter().all(|worker| !old.contains(worker))
        })
    }

    /// Kills the one worker and waits until its replacement answers. Returns how long that took.
    pub fn kill_and_wait(&mut self) -> Result<Duration, String> {
        let (start, worker) = loop {
            self.until("a worker should run", |server| server.workers().len() == 1)?;
            let (start, worker) = (Instant::now(), self.workers()[0]);
            // 03's own clock may have ended it just now.
            if self.kill(worker, Signal::SIGKILL).is_ok() {
                break (start, worker);
            }
        };
        self.until("a killed worker should end", |_| is_dead(worker))?;
        self.answer()?;
        Ok(start.elapsed())
    }

    pub fn kill(&self, to: Pid, signal: Signal) -> Result<(), String> {
        let sent = self.cluster.try_send(signal as i32, to);
        sent.map_err(|error| format!("{}: kill -{signal} {to}: {error}", self.name))
    }

    /// The headers of a visitor whom a server knows by a cookie, where it gave one.
    pub fn visitor(&mut self) -> Result<Vec<String>, String> {
        if self.kind != Kind::StepWithRedis {
            return Ok(Vec::new());
        }
        let port = self.port.number;
        let mut head = String::new();
        self.until("it should answer", |_| ask(port).map(|answer| head = answer).is_ok())?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
        });
        let cookie = cookie.ok_or_else(|| format!("{} gave no cookie: {head}", self.name))?;
        Ok(vec![format!("Cookie: {cookie}")])
    }
}

/// Asks for the page over a connection of its own. Returns the answer.
pub fn ask(port: u16) -> std::io::Result<String> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    // Node hands a connection to a worker that has just died, and then nobody answers it.
    client.set_read_timeout(Some(Duration::from_millis(25)))?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    match client.read_to_string(&mut answer) {
        Ok(_) if answer.starts_with("HTTP/1.1 200 ") => Ok(answer),
        Ok(_) => Err(ErrorKind::InvalidData.into()),
        Err(error) => Err(error),
    }
}

/// A folder for what the servers need on the disk. Not below target/: pm2 has sockets in it, and the
/// path of a socket may not be long.
fn folder() -> PathBuf {
    env::temp_dir().join(format!("{FOLDER}{}", process::id()))
}

const FOLDER: &str = "cluster-measure-";

/// Removes that folder, and those of runs that were interrupted.
pub fn clean_up() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(owner) = name.strip_prefix(FOLDER).and_then(pid) else { continue };
        if owner == Pid::this() || is_dead(owner) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// pm2 keeps its sockets and logs here, and not where a pm2 of yours may.
pub fn pm2_home() -> PathBuf {
    folder().join("pm2")
}

fn make(name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder().join(name);
    let made = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, text));
    made.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// nginx with the steps' page. A connection may ask as often as it likes there, as in the others.
fn nginx(port: u16, workers: usize) -> Result<Command, String> {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path temp_{name};"));
    let page = support::PAGE;
    let settings = format!(
        "daemon off;
worker_processes {workers};
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  {}
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port};
    default_type 'text/html;charset=utf-8';
    location / {{ return 200 '{page}'; }}
  }}
}}
",
        temporary.join("\n  ")
    );
    let settings = make("nginx.conf", &settings)?;
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder()).arg("-c").arg(settings);
    Ok(command)
}

/// pm2 in the foreground, as in a container, so that it ends with this program.
fn pm2(page: &str, workers: usize) -> Result<Command, String> {
    // What one that was killed has left there would lead the next astray.
    let _ = fs::remove_dir_all(pm2_home());
    let page = make("page.mjs", page)?;
    let mut command = Command::new("pm2-runtime");
    command.arg("start").arg(page).args(["--name", APP, "-i", &workers.to_string()]);
    command.env("PM2_HOME", pm2_home());
    Ok(command)
}

/// A Redis that keeps nothing on the disk, with its address.
fn start_redis() -> Result<(Cluster, String), String> {
    let port = Port::reserve();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.number.to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    let mut redis = Cluster::spawn(command, Console::Read);
    loop {
        match redis.next_line(PATIENCE) {
            Some(line) if line.contains("Ready to accept connections") => break,
            Some(_) => {}
            None => return Err(format!("redis-server:\n{}", redis.console())),
        }
    }
    Ok((redis, format!("redis://127.0.0.1:{}", port.number)))
}
