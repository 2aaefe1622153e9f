//! Each step and its Node twin print and serve the same; and where the book says that Node does
//! otherwise, it does.

use std::io::{Read, Write};
use std::net::TcpListener;

use support::transcript::{Program, play, play_all_of_node};
use support::{
    Cluster, Console, Ended, OrFail, Port, Signal, assert_status, connect, descriptors, is_dead,
    is_stopped, node, step, until,
};

/// The steps of part two that serve the page of part one, where they are built.
const PART_TWO: &[&str] = if cfg!(feature = "part-two") {
    &[
        "05_loop",
        "06_handoff",
        "07_patience",
        "08_finish",
        "09_keepalive",
        "10_backlog",
        "11_scale",
        "12_reload",
    ]
} else {
    &[]
};

/// Plays scenes of the steps' own with the Node twins: what the book shows of the one is true of
/// the other.
macro_rules! node_plays_the_scenes_of {
    ($($test:ident, $needs:literal: $($scene:literal)*;)*) => {
        $(#[test]
        #[ignore = $needs]
        fn $test() {
            $(play($scene, Program::NodeTwin);)*
        })*
    };
}

// A stopped worker outlives the primary of 05 and 06, and Redis's client has words of its own.
node_plays_the_scenes_of! {
    node_prints_the_console_of_step_00, "needs node: Node.js 20 or newer":
        "00_fork" "00_last_worker" "00_primary_killed";
    node_prints_the_console_of_step_01, "needs node: Node.js 20 or newer": "01_crash" "01_killed";
    node_prints_the_console_of_step_02, "needs node: Node.js 20 or newer":
        "02_exit_log" "02_interrupt";
    node_prints_the_console_of_step_03, "needs node: Node.js 20 or newer":
        "03_respawn" "03_primary_killed";
    node_prints_the_console_of_step_04, "needs node: Node.js 20 or newer": "04_errors";
    node_prints_the_console_of_step_05, "needs node: Node.js 20 or newer": "05_interrupt";
    node_prints_the_console_of_step_06, "needs node: Node.js 20 or newer": "06_handoff";
    node_prints_the_console_of_step_08, "needs node: Node.js 20 or newer": "08_finish";
    node_prints_the_console_of_step_11, "needs node: Node.js 20 or newer": "11_scale";
    node_prints_the_console_of_step_12, "needs node: Node.js 20 or newer": "12_reload";
    node_prints_the_console_of_step_13, "needs node: Node.js 20 or newer":
        "13_session" "13_kept" "13_forgotten";
    node_prints_the_console_of_step_14,
        "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`":
        "14_redis" "14_keys";
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_prints_the_consoles_that_are_its_alone() {
    play_all_of_node();
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_serves_the_page_of_the_steps() {
    let steps = ["00_fork", "01_crash", "02_exit_log", "03_respawn", "04_errors", "threads"];
    for name in steps.iter().chain(PART_TWO) {
        let rust = Cluster::start(step(name), 1).get("/").or_fail("the step answers");
        let node = Cluster::start(node(name), 1).get("/").or_fail("its Node twin answers");
        assert_eq!(rust, node, "{name}: the pages should be the same");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_answers_what_step_04_foresees_as_the_step_does() {
    let rust = Cluster::start(step("04_errors"), 1);
    let node = Cluster::start(node("04_errors"), 1);
    let lines = ["/1", "/2", "/02", "//2"];
    let wrong = ["/one", "/-1", "/1.5", "/1/2", "/1st", "/?line=1", "/favicon.ico"];
    for path in lines.into_iter().chain(wrong) {
        let [rust, node] = [&rust, &node].map(|it| it.get(path).or_fail("it should be answered"));
        assert_eq!(rust, node, "{path}: the answers should be the same");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_has_numbers_so_large_that_rust_has_none_for_them() {
    let path = "/99999999999999999999";
    let mut node = Cluster::start(node("04_errors"), 1);
    node.assert_no_answer(path);
    node.one_dies("code 1 signal null");
    let rust = Cluster::start(step("04_errors"), 1).get(path).or_fail("it is no number here");
    assert_eq!(rust.status, 400, "{path} should get status 400 of the step");
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn a_node_thread_counts_as_those_of_rust_do() {
    let rust = Cluster::start(step("threads"), 1);
    let node = Cluster::start(node("threads"), 1);
    for _ in 0..3 {
        let [rust, node] = [&rust, &node].map(|it| it.get("/").or_fail("a thread answers").body);
        assert_eq!(rust, node, "the pages should be the same, and count");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_hands_out_connections_in_turn_and_the_primary_alone_listens() {
    let cluster = Cluster::start(node("00_fork"), 2);
    // A worker that sleeps is given its connection all the same: nobody else can take it.
    cluster.send(Signal::SIGSTOP, cluster.workers[0]);
    until("the worker should be stopped", || is_stopped(cluster.workers[0]));
    let mut clients = [connect(cluster.port.number), connect(cluster.port.number)];
    let mut answers = [String::new(), String::new()];
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").or_fail("the connection should be open");
        client.set_nonblocking(true).unwrap();
    }
    let mut read = || {
        for (client, answer) in clients.iter_mut().zip(&mut answers) {
            let _ = client.read_to_string(answer);
        }
        answers.iter().filter(|answer| answer.ends_with("</p>")).count()
    };
    until("the worker that is awake should answer", || read() > 0);
    for _ in 0..10 {
        cluster.assert_answers();
    }
    assert_eq!(read(), 1, "one of two connections in turn should wait for the sleeper");
    cluster.send(Signal::SIGCONT, cluster.workers[0]);
    until("the sleeper should answer once it is awake", || read() == 2);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_leaves_a_client_waiting_whose_worker_was_stopped_and_killed() {
    let mut cluster = Cluster::start(node("06_handoff"), 1);
    let worker = cluster.workers[0];
    cluster.assert_answers();
    cluster.send(Signal::SIGSTOP, worker);
    until("the worker should be stopped", || is_stopped(worker));
    let mut client = connect(cluster.port.number);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").or_fail("the connection should be open");
    // Once the primary has accepted it, and so handed it over, nobody else will get it.
    let before = descriptors(cluster.primary).len();
    let other = connect(cluster.port.number);
    until("the primary should have accepted the next connection", || {
        descriptors(cluster.primary).len() > before
    });
    cluster.send(Signal::SIGKILL, worker);
    cluster.dies(worker, "code null signal SIGKILL");
    cluster.started();
    for _ in 0..20 {
        cluster.assert_answers();
    }
    client.set_nonblocking(true).unwrap();
    let answer = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(
        answer,
        Err(std::io::ErrorKind::WouldBlock),
        "it should be neither answered nor closed"
    );
    drop(other);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_tells_a_taken_port_once_for_each_worker_and_the_primary_ends_well() {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = node("00_fork");
    command.env("PORT", port.number.to_string()).env("WORKERS", "2");
    let mut cluster = Cluster::spawn(command, Console::Read);
    let Ended { status, stderr, .. } = cluster.wait_for_end();
    assert_eq!(stderr.matches("EADDRINUSE 127.0.0.1").count(), 2, "{stderr}");
    assert_status(status, 0);
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_respawns_for_ever_where_the_port_is_taken() {
    let port = Port::reserve();
    let _taken = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let mut command = node("03_respawn");
    command.env("PORT", port.number.to_string()).env("WORKERS", "1");
    let mut cluster = Cluster::spawn(command, Console::Read);
    cluster.line();
    for _ in 0..3 {
        cluster.one_dies("code 1 signal null");
    }
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_refuses_clients_while_every_worker_is_dead() {
    let cluster = Cluster::start(node("02_exit_log"), 1);
    cluster.send(Signal::SIGKILL, cluster.workers[0]);
    until("the worker should be dead", || is_dead(cluster.workers[0]));
    until("the primary should close the port", || cluster.get("/").is_err());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn node_takes_a_death_by_a_real_time_signal_for_an_exit_with_code_0() {
    let mut cluster = Cluster::start(node("02_exit_log"), 1);
    let worker = cluster.workers[0];
    cluster.try_send(nix::libc::SIGRTMIN(), worker).or_fail("the worker should live");
    cluster.dies(worker, "code 0 signal null");
}

/// The steps of part two and their Node twins, each treated in the same way: what a step adds, at that
/// step.
#[cfg(feature = "part-two")]
mod supervision {
    use std::fs::{self, File};
    use std::net::TcpStream;
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use support::{PAGE, REQUEST, assert_deaths, assert_nothing, assert_says, is_read};

    use super::*;

    /// Does the same to a step and to its twin.
    fn to_both(name: &str, treat: impl Fn(Command)) {
        treat(step(name));
        treat(node(name));
    }

    /// One that asks for half of the page, with this header, so that its request is in progress until
    /// it sends the rest.
    fn ask(cluster: &Cluster, header: &str) -> TcpStream {
        let mut client = connect(cluster.port.number);
        let half = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{header}");
        client.write_all(half.as_bytes()).or_fail("the connection should be open");
        client
    }

    /// Asks for the rest, and then for the page again and again, until an answer says that it is the
    /// last on its connection: a worker may be told to finish a moment later.
    fn finish(mut client: TcpStream, rest: &[u8]) {
        client.write_all(rest).or_fail("the connection should be open");
        while !read_answer(&mut client).to_lowercase().contains("\r\nconnection: close\r\n") {
            client.write_all(REQUEST).or_fail("nobody said that it would be closed");
        }
        let end = client.read(&mut [0]).or_fail("it should be closed, and not reset");
        assert_eq!(end, 0, "nothing should come after the last answer");
    }

    /// Reads one whole answer, and no further. Node sends the page in two chunks.
    fn read_answer(client: &mut TcpStream) -> String {
        let (mut answer, mut part) = (String::new(), [0; 512]);
        let is_whole = |answer: &str| {
            let end = if answer.contains("chunked") { "\r\n0\r\n\r\n" } else { "</p>" };
            PAGE.split_inclusive("</h1>").all(|half| answer.contains(half)) && answer.ends_with(end)
        };
        while !is_whole(&answer) {
            let length = client.read(&mut part).or_fail("an answer should come");
            assert!(length > 0, "the answer should be whole:\n{answer}");
            answer += &String::from_utf8_lossy(&part[..length]);
        }
        answer
    }

    /// All that it says until the end of all.
    fn assert_ends(mut cluster: Cluster, code: i32) {
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        assert_nothing(lines.iter().map(String::as_str).chain(stderr.lines()), "all is said");
        assert_status(status, code);
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_accepts_in_each_worker_as_step_05_does_and_replaces_who_dies() {
        to_both("05_loop", |command| {
            let mut cluster = Cluster::start(command, 2);
            // In 06 one of two clients would wait for this worker.
            let sleeper = cluster.workers[0];
            cluster.send(Signal::SIGSTOP, sleeper);
            until("the worker should be stopped", || is_stopped(sleeper));
            for _ in 0..20 {
                cluster.assert_answers();
            }
            for worker in cluster.workers.clone() {
                cluster.send(Signal::SIGKILL, worker);
            }
            let deaths = cluster.replaced(2);
            let killed = deaths.iter().all(|(_, how)| how == "code null signal SIGKILL");
            assert!(killed, "both should have been killed: {deaths:?}");
            cluster.assert_answers();
        });
    }

    /// Node sets every signal to its default when it starts.
    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_ends_at_a_hang_up_that_nohup_has_ignored_and_step_06_goes_on() {
        let hung_up = |mut command: Command| {
            command.env("WORKERS", "1");
            let mut cluster = Cluster::spawn_ignoring(command, Console::Read, &[Signal::SIGHUP]);
            cluster.introduced();
            cluster.started();
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster
        };
        let cluster = hung_up(step("06_handoff"));
        for _ in 0..5 {
            cluster.assert_answers();
        }
        let Ended { status, .. } = hung_up(node("06_handoff")).wait_for_end();
        assert_eq!(status.signal(), Some(Signal::SIGHUP as i32));
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_gives_up_as_step_07_does_after_so_many_short_lives() {
        for program in [step, node] {
            // On a busy machine a worker may live for more than a second before it can be killed.
            let judged = (0..5).any(|_| gives_up_after_three_short_lives(program("07_patience")));
            assert!(judged, "this machine is too busy to kill a worker within a second");
        }
    }

    /// Kills each worker as soon as there is one, until the program gives up. Whether it can be
    /// judged: not where a worker may have lived for more than a second.
    fn gives_up_after_three_short_lives(mut command: Command) -> bool {
        command.env("MAX_FAILURES", "3").env("WORKERS", "1");
        let mut cluster = Cluster::spawn(command, Console::Read);
        cluster.introduced();
        for _ in 0..3 {
            let born = Instant::now();
            let living = || cluster.children().into_iter().find(|worker| worker.state != 'Z');
            let mut worker = None;
            until("there should be a worker", || {
                worker = living();
                worker.is_some()
            });
            let worker = worker.unwrap().pid;
            let _ = cluster.try_send(Signal::SIGKILL as i32, worker);
            let mut line = cluster.line();
            if line.ends_with("번 워커 실행") {
                line = cluster.line();
            }
            assert_says(&line, &format!("{worker}번 워커가 종료되었습니다"));
            assert_says(&cluster.line(), "code null signal SIGKILL");
            if born.elapsed() >= Duration::from_secs(1) {
                return false;
            }
        }
        let Ended { status, lines, stderr } = cluster.wait_for_end();
        let why = "so many workers in a row lived less than a second";
        assert_says(&stderr, &format!("Error: MAX_FAILURES=3: {why}\n"));
        assert_nothing(&lines, "it should have nothing more to log");
        assert_status(status, 1);
        true
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_goes_on_as_step_07_does_where_the_terminal_stands_still() {
        to_both("07_patience", |mut command| {
            let (mut master, terminal) = terminal();
            command.env("WORKERS", "2");
            let console = Console::Own(terminal.try_clone().expect("a descriptor").into());
            let cluster = Cluster::spawn(command, console);
            let (mut came, mut part) = (String::new(), [0; 512]);
            while came.matches("번 워커 실행").count() < 2 {
                let length = master.read(&mut part).or_fail("the workers should start");
                came += &String::from_utf8_lossy(&part[..length]);
            }
            // SAFETY: it is an open terminal. Ctrl-S does the same.
            assert_eq!(unsafe { nix::libc::tcflow(terminal.as_raw_fd(), nix::libc::TCOOFF) }, 0);
            let worker = cluster.children()[0].pid;
            cluster.send(Signal::SIGKILL, worker);
            until("the worker's death should be seen", || {
                cluster.children().iter().all(|child| child.pid != worker)
            });
            for _ in 0..4 {
                cluster.assert_answers();
            }
            until("it should be replaced", || cluster.children().len() == 2);
        });
    }

    /// A terminal of its own: the side of the one who looks at it, and the side of the programs.
    fn terminal() -> (File, File) {
        use nix::libc;
        // SAFETY: these take a descriptor that is open, and the first makes it.
        unsafe {
            let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
            assert!(master >= 0, "a terminal: {}", std::io::Error::last_os_error());
            let master = File::from_raw_fd(master);
            let fd = master.as_raw_fd();
            assert_eq!((libc::grantpt(fd), libc::unlockpt(fd)), (0, 0));
            let name = std::ffi::CStr::from_ptr(libc::ptsname(fd)).to_str().unwrap().to_owned();
            let terminal = libc::open(
                format!("{name}\0").as_ptr().cast(),
                libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
            );
            assert!(terminal >= 0, "{name}: {}", std::io::Error::last_os_error());
            (master, File::from_raw_fd(terminal))
        }
    }

    /// In 08 these clients say themselves that they ask for nothing more: Node would wait for that.
    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_ends_as_steps_08_and_09_do_once_what_is_being_answered_is_answered() {
        for (name, header) in [("08_finish", "Connection: close\r\n"), ("09_keepalive", "")] {
            to_both(name, |command| {
                let mut cluster = Cluster::start(command, 2);
                let clients = [(); 4].map(|()| ask(&cluster, header));
                for client in &clients {
                    cluster.assert_answers();
                    until("what a client has sent should be read", || is_read(client));
                }
                cluster.send(Signal::SIGTERM, cluster.primary);
                until("nobody new should be let in", || cluster.get("/").is_err());
                for mut client in clients {
                    if header.is_empty() {
                        finish(client, b"\r\n");
                    } else {
                        client.write_all(b"\r\n").or_fail("the connection should be open");
                        read_answer(&mut client);
                    }
                }
                for _ in 0..2 {
                    cluster.one_dies("code 0 signal null");
                }
                assert_ends(cluster, 0);
            });
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_ends_at_once_as_step_08_does_at_a_second_signal_but_not_within_half_a_second() {
        to_both("08_finish", |command| {
            let cluster = Cluster::start(command, 1);
            // Not even a worker that is stopped is left then.
            cluster.send(Signal::SIGSTOP, cluster.workers[0]);
            until("the worker should be stopped", || is_stopped(cluster.workers[0]));
            let first = Instant::now();
            cluster.interrupt();
            until("a second signal should end it", || {
                let _ = cluster.try_send(Signal::SIGTERM as i32, cluster.primary);
                is_dead(cluster.primary)
            });
            let took = first.elapsed();
            assert!(took >= Duration::from_millis(500), "it ended after {took:?}");
            assert_ends(cluster, 143);
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_gives_who_keeps_a_connection_a_second_as_step_09_does() {
        to_both("09_keepalive", |command| {
            let mut cluster = Cluster::start(command, 1);
            let [mut kept, mut idle, mut silent] = [(); 3].map(|()| connect(cluster.port.number));
            for client in [&mut kept, &mut idle] {
                client.write_all(REQUEST).or_fail("the connection should be open");
                read_answer(client);
            }
            cluster.assert_answers();
            cluster.send(Signal::SIGTERM, cluster.primary);
            finish(kept, REQUEST);
            for client in [&mut idle, &mut silent] {
                let mut came = String::new();
                client.read_to_string(&mut came).or_fail("it should be closed, and not reset");
                assert_eq!(came, "", "nobody asked for anything");
            }
            cluster.one_dies("code 0 signal null");
            assert_ends(cluster, 0);
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_resets_who_waits_in_the_kernels_queue_at_the_end_and_step_10_answers_them() {
        const CLIENTS: usize = 20;
        let answered = |command| {
            let mut cluster = Cluster::start(command, 2);
            cluster.send(Signal::SIGSTOP, cluster.primary);
            until("the primary should be stopped", || is_stopped(cluster.primary));
            let clients: Vec<_> = (0..CLIENTS).map(|_| connect(cluster.port.number)).collect();
            for mut client in &clients {
                client
                    .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n")
                    .or_fail("the connection should be open");
            }
            cluster.send(Signal::SIGTERM, cluster.primary);
            cluster.send(Signal::SIGCONT, cluster.primary);
            let whole = |mut client: &TcpStream| {
                let mut answer = String::new();
                client.read_to_string(&mut answer).is_ok() && answer.contains("Hello Cluster!")
            };
            let answered = clients.iter().filter(|client| whole(client)).count();
            assert_status(cluster.wait_for_end().status, 0);
            answered
        };
        assert_eq!(answered(step("10_backlog")), CLIENTS);
        let of_node = answered(node("10_backlog"));
        assert!(of_node < CLIENTS, "Node should have reset some of the {CLIENTS} clients");
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_scales_as_step_11_does_the_oldest_first_and_never_below_one() {
        to_both("11_scale", |command| {
            let mut cluster = Cluster::start(command, 1);
            cluster.send(Signal::SIGTTIN, cluster.primary);
            let youngest = cluster.started();
            let oldest = cluster.workers[0];
            cluster.send(Signal::SIGTTOU, cluster.primary);
            cluster.dies(oldest, "code 0 signal null");
            // Ctrl-C and TERM are the primary's business.
            cluster.send(Signal::SIGINT, youngest);
            cluster.send(Signal::SIGTERM, youngest);
            cluster.send(Signal::SIGTTOU, cluster.primary);
            // The primary has looked at its signals by the time that it has accepted these, and
            // the last worker stays: the next line is that of one more.
            for _ in 0..20 {
                cluster.assert_answers();
            }
            cluster.send(Signal::SIGTTIN, cluster.primary);
            cluster.started();
            cluster.send(Signal::SIGTTOU, cluster.primary);
            cluster.dies(youngest, "code 0 signal null");
            cluster.assert_answers();
        });
    }

    /// A copy of the program of step 12 or of its twin, which may be exchanged.
    struct Disk {
        folder: PathBuf,
        program: PathBuf,
    }

    impl Disk {
        fn with(command: &Command) -> Disk {
            static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let folder = std::env::temp_dir().join(format!("twin-{}-{count}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let twin = command.get_args().next();
            let original = PathBuf::from(twin.unwrap_or(command.get_program()));
            let program = folder.join(original.file_name().unwrap());
            let disk = Disk { folder, program };
            disk.put(&fs::read(original).unwrap());
            disk
        }

        fn command(&self) -> Command {
            if self.is_twin() {
                let mut command = Command::new("node");
                command.arg(&self.program);
                command
            } else {
                Command::new(&self.program)
            }
        }

        fn is_twin(&self) -> bool {
            self.program.extension().is_some_and(|extension| extension == "mjs")
        }

        /// As a deployment does it: the old file stays whole for those that run it.
        fn put(&self, text: &[u8]) {
            let new = self.folder.join("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(new, &self.program).unwrap();
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(Path::new(&self.folder));
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_reloads_as_step_12_does_the_oldest_first_each_after_its_successor_is_there() {
        to_both("12_reload", |command| {
            let mut cluster = Cluster::start(command, 2);
            let old = cluster.workers.clone();
            cluster.send(Signal::SIGHUP, cluster.primary);
            let deaths = cluster.replaced(2);
            let expected = old.iter().map(|pid| (*pid, "code 0 signal null".to_owned()));
            assert_deaths(&deaths, &expected.collect());
            assert!(cluster.workers.iter().all(|worker| !old.contains(worker)));
            cluster.assert_answers();
            cluster.send(Signal::SIGTERM, cluster.primary);
            assert_status(cluster.wait_for_end().status, 0);
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_calls_a_reload_off_as_step_12_does_where_the_new_program_dies() {
        to_both("12_reload", |command| {
            let disk = Disk::with(&command);
            let good = fs::read(&disk.program).unwrap();
            let mut cluster = Cluster::start(disk.command(), 2);
            let old = cluster.workers.clone();
            disk.put(if disk.is_twin() { b"process.exit(7)" } else { b"#!/bin/sh\nexit 7\n" });
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.one_dies("code 7 signal null");
            let told = "Error: reload called off: the new worker ended before it was ready\n";
            until("it should say that the reload is called off", || cluster.stderr() == told);
            assert_eq!(cluster.workers, old, "the workers should be the old ones");
            cluster.assert_answers();
            disk.put(&good);
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.replaced(2);
            assert_says(&cluster.stderr(), told);
            cluster.assert_answers();
        });
    }

    /// A program that is never ready. It makes a file when it runs.
    fn hanging(disk: &Disk) -> &'static [u8] {
        if disk.is_twin() {
            b"import { writeFileSync } from 'node:fs'; writeFileSync(`${process.argv[1]}.runs`, '');\
              setInterval(() => {}, 1_000);"
        } else {
            b"#!/bin/sh\n: > \"$0.runs\"\nexec sleep 60\n"
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_calls_a_reload_off_as_step_12_does_where_the_new_program_is_never_ready() {
        to_both("12_reload", |command| {
            let disk = Disk::with(&command);
            let mut cluster = Cluster::start(disk.command(), 1);
            disk.put(hanging(&disk));
            cluster.send(Signal::SIGHUP, cluster.primary);
            let told = "Error: reload called off: the new worker was not ready after 5 seconds\n";
            until("it should say that the reload is called off", || cluster.stderr() == told);
            cluster.assert_answers();
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_forgets_a_successor_that_hangs_as_step_12_does_at_the_next_hang_up() {
        to_both("12_reload", |command| {
            let disk = Disk::with(&command);
            let good = fs::read(&disk.program).unwrap();
            let mut cluster = Cluster::start(disk.command(), 2);
            let old = cluster.workers.clone();
            disk.put(hanging(&disk));
            cluster.send(Signal::SIGHUP, cluster.primary);
            let runs = disk.folder.join(format!("{}.runs", disk.program.display()));
            until("the successor should run", || runs.exists());
            disk.put(&good);
            cluster.send(Signal::SIGHUP, cluster.primary);
            let deaths = cluster.replaced(2);
            let expected = old.iter().map(|pid| (*pid, "code 0 signal null".to_owned()));
            assert_deaths(&deaths, &expected.collect());
            cluster.assert_answers();
            assert_says(&cluster.stderr(), "");
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer"]
    fn node_gives_a_successor_one_try_as_step_12_does_whatever_the_limit() {
        to_both("12_reload", |command| {
            let disk = Disk::with(&command);
            let mut command = disk.command();
            command.env("MAX_FAILURES", "1");
            let mut cluster = Cluster::start(command, 1);
            disk.put(if disk.is_twin() { b"process.exit(7)" } else { b"#!/bin/sh\nexit 7\n" });
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.one_dies("code 7 signal null");
            let told = "Error: reload called off: the new worker ended before it was ready\n";
            until("it should say that the reload is called off", || cluster.stderr() == told);
            cluster.assert_answers();
        });
    }
}

/// The steps 13 and 14 and their Node twins, each treated in the same way.
#[cfg(feature = "redis")]
mod sessions {
    use std::collections::BTreeSet;
    use std::process::Command;

    use support::{Redis, agent};

    use super::*;

    /// What somebody sees who asks for `path` with this header `Cookie` (none where it is empty), as
    /// far as the two should be equal: each process id is `PID`, and each id of a session `ID`.
    #[derive(Debug, PartialEq)]
    struct Seen {
        status: u16,
        kind: Option<String>,
        cookie: Option<String>,
        body: String,
    }

    /// The steps that count visits, as far as they are built.
    const STEPS: &[&str] = if cfg!(feature = "part-three") {
        &["13_session", "14_redis", "15_socket"]
    } else {
        &["13_session", "14_redis"]
    };

    /// Asks over a connection of its own. Returns what is seen, and the id that was set.
    fn ask(cluster: &Cluster, path: &str, cookie: &str) -> (Seen, Option<String>) {
        let mut request = agent().get(format!("http://127.0.0.1:{}{path}", cluster.port.number));
        if !cookie.is_empty() {
            request = request.header("Cookie", cookie);
        }
        let mut response = request.call().or_fail("it should be answered");
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (kind, cookie) = (header("content-type"), header("set-cookie"));
        let id = cookie.as_ref().and_then(|it| it.split(['=', ';']).nth(1)).map(str::to_owned);
        let status = response.status().as_u16();
        let mut body = response.body_mut().read_to_string().expect("text");
        for worker in &cluster.workers {
            body = body.replace(&format!("{worker}번"), "PID번");
        }
        let cookie = cookie.zip(id.as_ref()).map(|(cookie, id)| cookie.replace(id, "ID"));
        (Seen { status, kind, cookie, body }, id)
    }

    /// Visits the page that often with the cookie that was set before, and returns all that is seen.
    fn visit(cluster: &Cluster, times: usize, id: &mut Option<String>) -> Vec<Seen> {
        let visit = |_| {
            let cookie = id.as_ref().map(|id| format!("session={id}")).unwrap_or_default();
            let (seen, new) = ask(cluster, "/", &cookie);
            *id = new.or(id.take());
            seen
        };
        (0..times).map(visit).collect()
    }

    /// The step `name` and its twin, to be started with this Redis.
    fn both(name: &str, redis: &Redis) -> [Command; 2] {
        [step(name), node(name)].map(|mut command| {
            command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "1500");
            command
        })
    }

    /// Does the same to a step and to its twin, each with a Redis of its own, and compares what
    /// `treat` returns.
    fn the_same<T: std::fmt::Debug>(name: &str, treat: impl Fn(Command, &mut Redis) -> T) {
        let [rust, node] = [0, 1].map(|at| {
            let mut redis = Redis::start();
            let command = both(name, &redis).into_iter().nth(at).unwrap();
            treat(command, &mut redis)
        });
        // All that is seen are pages of text: the first difference, and what is just before it.
        let [rust, node] = [rust, node].map(|it| format!("{it:#?}"));
        let same = rust.lines().zip(node.lines()).take_while(|(rust, node)| rust == node).count();
        let [of_rust, of_node] = [&rust, &node].map(|it| {
            let lines = it.lines().skip(same.saturating_sub(9)).take(10);
            lines.map(|line| format!("{line:.160}\n")).collect::<String>()
        });
        assert!(
            rust == node,
            "the twin of {name} should do as the step does, but where the step has\n{of_rust}the \
             twin has\n{of_node}"
        );
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_serves_the_pages_of_steps_13_to_15_and_takes_the_same_for_an_id() {
        let a = |times| "a".repeat(times);
        let cookies = [
            String::new(),
            format!("session={}", a(32)),
            format!("x=1; session={}; y=2", a(32)),
            format!("session={}", a(31)),
            format!("session={}", a(33)),
            format!("session={}", "A".repeat(32)),
            format!("session={}", "g".repeat(32)),
            format!("session={}", a(10_000)),
            format!("Session={}", a(32)),
            format!("xsession={}", a(32)),
            format!("session={}; session=1", a(32)),
            format!("session=1; session={}", a(32)),
            format!("session={}; session={}", a(32), "b".repeat(32)),
            "session=__proto__; session".to_owned(),
            ";=;".to_owned(),
        ];
        for name in STEPS {
            the_same(name, |command, _| {
                let cluster = Cluster::start(command, 1);
                let mut all = Vec::new();
                for path in ["/", "/?at=all", "/none", "//", "/favicon.ico?x"] {
                    for cookie in &cookies {
                        let (seen, id) = ask(&cluster, path, cookie);
                        let is_kept = id.map(|id| cookie.contains(&id));
                        all.push((path, cookie.clone(), seen, is_kept));
                    }
                }
                all
            });
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_counts_as_steps_13_to_15_do_and_forgets_what_they_forget() {
        for name in STEPS {
            the_same(name, |command, _| {
                let mut cluster = Cluster::start(command, 2);
                let mut id = None;
                let mut seen = visit(&cluster, 6, &mut id);
                for worker in cluster.workers.clone() {
                    cluster.send(Signal::SIGKILL, worker);
                }
                cluster.replaced(2);
                seen.extend(visit(&cluster, 4, &mut id));
                cluster.send(Signal::SIGHUP, cluster.primary);
                cluster.replaced(2);
                seen.extend(visit(&cluster, 2, &mut id));
                seen
            });
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_writes_what_step_14_writes() {
        the_same("14_redis", |mut command, redis| {
            command.env("SESSION_SECONDS", "500");
            let cluster = Cluster::start(command, 2);
            let mut id = None;
            visit(&cluster, 3, &mut id);
            // The check at the start of the primary and of each worker does what a visit does.
            [id.unwrap(), "check".to_owned()].map(|id| {
                let key = format!("session:{id}");
                let ttl = redis.number(&["TTL", &key]);
                (redis.number(&["GET", &key]), (490..=500).contains(&ttl), redis.keys().len())
            })
        });
    }

    /// The reason is each client's own.
    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_refuses_to_start_without_redis_as_step_14_does_and_shows_no_password() {
        let (nobody, locked) = (Port::reserve(), Redis::start_with_password("secret-1"));
        let (nobody, locked) = (format!("127.0.0.1:{}", nobody.number), locked.address());
        let hung = Redis::start();
        hung.stop();
        let full = Redis::start();
        full.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        // The address is shown where there is one.
        let urls = [
            (format!("http://:secret@{nobody}"), ""),
            ("redis".to_owned(), ""),
            (format!("redis://:secret:{nobody}"), ""),
            ("redis://user:secret@127.0.0.1:port".to_owned(), ""),
            (format!("redis://:secret@{nobody}"), &*nobody),
            (format!("redis://{nobody}/0?password=secret"), &*nobody),
            ("unix:///none.sock?user=me&pass=secret".to_owned(), "/none.sock"),
            (format!("redis://{locked}"), &*locked),
            (format!("redis://:secret-2@{locked}"), &*locked),
            (hung.url(), &*hung.address()),
            (full.url(), &*full.address()),
        ];
        for (url, shown) in urls {
            let start = if shown.is_empty() { "" } else { "=" };
            let start = format!("Error: REDIS_URL{start}{shown}: ");
            for mut command in [step("14_redis"), node("14_redis")] {
                let output = Cluster::output({
                    command.env("REDIS_URL", &url);
                    command
                });
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(stderr.starts_with(&start), "{url}: it should name it: {stderr}");
                assert_eq!(stderr.lines().count(), 1, "{url}: it should be one line: {stderr}");
                assert!(!stderr.contains("secret"), "{url}: it is for nobody to see: {stderr}");
                assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
            }
        }
    }

    /// Lets Redis answer with an error, or not.
    fn refuse(redis: &Redis, refuses: bool) {
        redis.cli(&["CONFIG", "SET", "maxmemory", if refuses { "1" } else { "0" }]);
    }

    /// Checks that so many lines came on stderr so far, each with these words of Redis's own.
    fn assert_tells(cluster: &mut Cluster, redis: &Redis, times: usize, words: &str) {
        let start = format!("Error: REDIS_URL={}: ", redis.address());
        until("it should say why", || cluster.stderr().lines().count() == times);
        let stderr = cluster.stderr();
        let well = stderr.lines().all(|line| line.starts_with(&start) && line.contains(words));
        assert!(well, "it should be told in Redis's words: {stderr}");
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_says_why_a_visit_fails_as_step_14_does_once_until_it_works_again() {
        the_same("14_redis", |command, redis| {
            let mut cluster = Cluster::start(command, 1);
            let (mut id, mut seen) = (None, Vec::new());
            for times in [1, 2] {
                seen.extend(visit(&cluster, 1, &mut id));
                refuse(redis, true);
                seen.extend(visit(&cluster, 3, &mut id));
                assert_tells(&mut cluster, redis, times, "maxmemory");
                refuse(redis, false);
            }
            seen
        });
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_calls_a_reload_off_as_step_14_does_where_redis_refuses_the_new_worker() {
        the_same("14_redis", |command, redis| {
            let mut cluster = Cluster::start(command, 2);
            refuse(redis, true);
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.one_dies("code 1 signal null");
            until("two lines should tell of it", || cluster.stderr().lines().count() == 2);
            let stderr = cluster.stderr();
            let off = "Error: reload called off: the new worker ended before it was ready";
            let address = format!("Error: REDIS_URL={}: ", redis.address());
            assert!(stderr.contains(off) && stderr.contains(&address), "{stderr}");
            assert!(stderr.contains("maxmemory"), "it should be told in Redis's words: {stderr}");
            let old = visit(&cluster, 1, &mut None);
            refuse(redis, false);
            cluster.send(Signal::SIGHUP, cluster.primary);
            cluster.replaced(2);
            (old, visit(&cluster, 1, &mut None))
        });
    }

    /// After an answer that never came, and where the connection is lost.
    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_uses_another_connection_as_step_14_does_after_trouble_with_the_first() {
        let ways: [fn(&Redis, bool); 2] = [
            |redis, is_away| if is_away { redis.stop() } else { redis.go_on() },
            // Here the visit does not even fail.
            |redis, _| drop(redis.cli(&["CLIENT", "KILL", "TYPE", "normal"])),
        ];
        for trouble in ways {
            the_same("14_redis", |command, redis| {
                let cluster = Cluster::start(command, 1);
                let open = |redis: &Redis| {
                    let list = redis.cli(&["CLIENT", "LIST"]);
                    let ids = list.iter().filter(|line| !line.contains("cmd=client"));
                    ids.filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
                };
                let mut id = None;
                let mut seen = visit(&cluster, 1, &mut id);
                let before: BTreeSet<String> = open(redis);
                trouble(redis, true);
                seen.extend(visit(&cluster, 1, &mut id));
                trouble(redis, false);
                // What came too late is counted, once.
                seen.extend(visit(&cluster, 1, &mut id));
                until("the worker's connection should be closed", || {
                    !before.is_subset(&open(redis))
                });
                seen
            });
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_says_503_as_step_14_does_until_redis_is_back() {
        type Treat = fn(&mut Redis);
        let ways: [(Treat, Treat); 2] =
            [(|redis| redis.stop(), |redis| redis.go_on()), (Redis::kill, Redis::start_again)];
        for (go, come_back) in ways {
            the_same("14_redis", |command, redis| {
                let mut cluster = Cluster::start(command, 1);
                let mut id = None;
                visit(&cluster, 1, &mut id);
                go(redis);
                let mut seen = visit(&cluster, 2, &mut id);
                seen.push(ask(&cluster, "/none", "").0);
                let worker = cluster.workers[0];
                cluster.send(Signal::SIGKILL, worker);
                cluster.replaced(1);
                seen.extend(visit(&cluster, 1, &mut id));
                come_back(redis);
                // The very next request works.
                seen.extend(visit(&cluster, 1, &mut id));
                assert_tells(&mut cluster, redis, 2, "");
                (seen, cluster.end().lines)
            });
        }
    }
    #[cfg(feature = "part-three")]
    mod sockets {
        use std::time::{Duration, Instant};

        use support::{Lent, Notify, assert_says};

        use super::*;

        /// Does the same to step 15 and to its twin, which `treat` starts as often as it wants to.
        fn to_both(treat: impl Fn(&dyn Fn() -> Command)) {
            let redis = Redis::start();
            for at in [0, 1] {
                treat(&|| both("15_socket", &redis).into_iter().nth(at).unwrap());
            }
        }

        #[track_caller]
        fn terminated(mut cluster: Cluster) {
            cluster.send(Signal::SIGTERM, cluster.primary);
            let Ended { status, stderr, .. } = cluster.wait_for_end();
            assert_eq!(stderr, "", "it should end without a word");
            assert_status(status, 0);
        }

        #[test]
        #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
        fn node_takes_a_lent_socket_as_step_15_does_and_binds_no_port() {
            to_both(|command| {
                let (lent, port) = (Lent::listen(), Port::reserve());
                let _taken = TcpListener::bind(("127.0.0.1", port.number)).expect("it is free");
                let start = || {
                    let mut command = command();
                    command.env("PORT", port.number.to_string());
                    lent.start(command, 2)
                };
                let (mut old, mut id) = (start(), None);
                visit(&old, 3, &mut id);
                old.send(Signal::SIGHUP, old.primary);
                old.replaced(2);
                visit(&old, 3, &mut id);
                terminated(old);
                // Who comes in between waits for the next.
                let mut client = connect(lent.port.number);
                client.write_all(b"GET / HTTP/1.0\r\n\r\n").or_fail("it was let in");
                let (new, mut came) = (start(), String::new());
                client.read_to_string(&mut came).or_fail("the next primary should answer");
                assert!(
                    came.starts_with("HTTP/1.1 200") | came.starts_with("HTTP/1.0 200"),
                    "{came}"
                );
                let last = visit(&new, 1, &mut id).pop().expect("one visit");
                assert!(last.body.contains("7번째"), "it should count on, but says {}", last.body);
                terminated(new);
            });
        }

        #[test]
        #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
        fn node_closes_a_lent_socket_with_its_last_worker_and_ends_and_step_15_does_not() {
            to_both(|command| {
                let lent = Lent::listen();
                let mut cluster = lent.start(command(), 1);
                let is_twin = command().get_program() == "node";
                cluster.send(Signal::SIGKILL, cluster.workers[0]);
                if is_twin {
                    cluster.one_dies("code null signal SIGKILL");
                    let Ended { status, stderr, .. } = cluster.wait_for_end();
                    let why = "Node has closed the socket that it was lent";
                    assert_says(&stderr, &format!("Error: LISTEN_FDS: {why}\n"));
                    assert_status(status, 1);
                } else {
                    cluster.replaced(1);
                    cluster.assert_answers();
                }
                drop(cluster);
                lent.start(command(), 1).assert_answers();
            });
        }

        #[test]
        #[cfg(target_os = "linux")] // There is no systemd elsewhere.
        #[ignore = "needs node: Node.js 20 or newer, redis-server, `npm ci --prefix steps/node`, and systemd-notify"]
        fn node_says_through_a_tool_of_systemd_what_step_15_says_by_itself() {
            to_both(|command| {
                let (notify, mut command) = (Notify::listen(), command());
                notify.ask(&mut command);
                let cluster = Cluster::start(command, 2);
                notify.says("READY=1");
                terminated(cluster);
                notify.says("STOPPING=1");
                assert_eq!(notify.next(Duration::ZERO), None, "it should say each once");
            });
        }

        #[test]
        #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
        fn node_is_patient_with_redis_as_step_15_is_for_five_seconds() {
            let redis = Redis::start();
            redis.stop();
            for command in both("15_socket", &redis) {
                let start = Instant::now();
                let output = Cluster::output(command);
                let took = start.elapsed();
                assert!(took >= Duration::from_secs(5), "it should be patient: {took:?}");
                let stderr = String::from_utf8_lossy(&output.stderr);
                let line = format!("Error: REDIS_URL={}: ", redis.address());
                assert!(stderr.starts_with(&line) && stderr.lines().count() == 1, "{stderr}");
                assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
            }
        }
    }
}

/// Step 16 and its Node twin, and the same HAProxy before both.
#[cfg(feature = "part-three")]
mod hosts {
    use std::process::Command;

    use support::promises::{Load, Visitor, ask_for};
    use support::{Answer, Hosts, Place, Redis};

    use super::*;

    /// The step or its twin, with this Redis, at this port.
    fn at(port: &Port, mut command: Command, redis: &Redis) -> Command {
        command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "2000");
        command.env("PORT", port.number.to_string());
        command
    }

    const PROGRAMS: [fn(&str) -> Command; 2] = [step, node];

    /// A host in Rust and one in Node, `a` and `b`, with so many workers each.
    fn of_both(workers: usize) -> Hosts {
        Hosts::start_with([(); 2].map(|()| Place::own()), PROGRAMS, workers, &[])
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_tells_a_balancer_that_it_is_well_as_step_16_does_whatever_redis_does() {
        let [rust, node] = PROGRAMS.map(|program| {
            let mut redis = Redis::start();
            let port = Port::reserve();
            let _cluster = Cluster::start(at(&port, program("16_hosts"), &redis), 1);
            let keys = redis.keys();
            let ask = |path: &str| {
                let mut client = connect(port.number);
                let answer = ask_for(path, None, &mut client).or_fail("it should be answered");
                let Answer { head, body } = &answer;
                let kind = head.lines().find(|it| it.starts_with("content-type: "));
                let cookie = head.contains("set-cookie");
                (answer.status(), kind.map(str::to_owned), cookie, body.clone())
            };
            let all = || ["/health", "/health?at=all", "/health/", "/healthy"].map(ask);
            let mut seen = vec![all()];
            assert_eq!(redis.keys(), keys, "a balancer is no visitor");
            redis.stop();
            seen.push(all());
            redis.kill();
            seen.push(all());
            seen
        });
        assert_eq!(node, rust, "the twin (left) should say what the step says");
        assert_eq!((rust[0][0].0, &*rust[0][0].3), (Some(200), "well"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_listens_where_host_says_as_step_16_does() {
        let redis = Redis::start();
        for program in PROGRAMS {
            // All of 127.0.0.0/8 is this machine here.
            for (host, there) in [("127.0.0.2", false), ("0.0.0.0", true)] {
                let port = Port::reserve();
                let mut command = at(&port, program("16_hosts"), &redis);
                command.env("HOST", host);
                let _cluster = Cluster::start(command, 1);
                let connects = |to| std::net::TcpStream::connect((to, port.number)).is_ok();
                assert!(connects("127.0.0.2"), "HOST={host}");
                assert_eq!(connects("127.0.0.1"), there, "HOST={host}");
            }
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, haproxy, redis-server, and `npm ci --prefix steps/node`"]
    fn a_visitor_of_a_host_in_rust_is_one_of_a_host_in_node() {
        let hosts = of_both(2);
        let mut visitor = Visitor::of(hosts.front());
        let visits: Vec<_> = (0..8).map(|_| visitor.visit()).collect();
        let counts: Vec<_> = visits.iter().map(|visit| visit.count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8], "both hosts should count together");
        for host in &hosts.hosts {
            let came = visits.iter().filter(|it| host.workers.contains(&it.worker)).count();
            assert_eq!(came, 4, "both hosts should have their turn: {visits:?}");
        }
    }

    /// Where it is not drained first, what waits in the queue of Node's primary is reset.
    #[test]
    #[ignore = "needs node: Node.js 20 or newer, haproxy, redis-server, and `npm ci --prefix steps/node`"]
    fn a_host_in_node_that_is_drained_before_it_is_restarted_loses_nothing_as_one_in_rust() {
        // Where Node starts, a busy machine has enough to do.
        let (mut hosts, clients, load) = (of_both(1), (1, 1), Load::default());
        load.during(hosts.front(), clients, || {
            for host in [0, 1] {
                load.is_answered(clients);
                hosts.drain(host);
                hosts.stop(host);
                hosts.start_again(host);
            }
        });
        load.assert_lost_to_kills_alone(50);
    }
}

/// Step 17 and its Node twin, each with a master, a replica and three sentinels of its own.
#[cfg(feature = "part-three")]
mod failover {
    use std::process::Command;

    use support::promises::Visitor;
    use support::{Redis, Sentinels, is_dead, until};

    use super::*;

    const PROGRAMS: [fn(&str) -> Command; 2] = [step, node];

    fn with(all: &Sentinels, mut command: Command) -> Command {
        command.env("REDIS_URL", all.url()).env("REDIS_MILLISECONDS", "2000");
        command
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_follows_the_master_that_the_sentinels_name_as_step_17_does() {
        for program in PROGRAMS {
            let mut all = Sentinels::start();
            let cluster = Cluster::start(with(&all, program("17_failover")), 2);
            let workers = cluster.workers.clone();
            let mut visitor = Visitor::new(&cluster);
            assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the page should count the visits");
            let key = format!("session:{}", visitor.id.as_ref().expect("it was here"));
            until("the replica should have the visits", || {
                all.redis[1].cli(&["GET", &key]) == ["4"]
            });
            all.redis[0].kill();
            let mut counted = None;
            until("the visits should be counted again", || {
                counted = visitor.try_visit().ok().map(|visit| visit.count);
                counted.is_some()
            });
            assert_eq!(counted, Some(5), "the count should go on where it was");
            all.until_master_is(1);
            assert!(workers.iter().all(|it| !is_dead(*it)), "no worker should have ended");
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_leaves_a_master_that_was_stopped_and_wakes_as_step_17_does() {
        for program in PROGRAMS {
            let all = Sentinels::start();
            let cluster = Cluster::start(with(&all, program("17_failover")), 2);
            let mut visitor = Visitor::new(&cluster);
            assert_eq!(visitor.counts(4), [1, 2, 3, 4], "the page should count the visits");
            all.redis[0].stop();
            all.until_master_is(1);
            all.redis[0].go_on();
            assert_eq!(visitor.counts(4), [5, 6, 7, 8], "the counts should go on at the new one");
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_asks_the_other_sentinels_where_the_first_is_away_as_step_17_does() {
        let ways: [fn(&mut Redis); 2] = [Redis::kill, |sentinel| sentinel.stop()];
        for (program, goes) in PROGRAMS.into_iter().flat_map(|it| ways.map(|goes| (it, goes))) {
            let mut all = Sentinels::start();
            goes(&mut all.sentinels[0]);
            let cluster = Cluster::start(with(&all, program("17_failover")), 2);
            assert_eq!(Visitor::new(&cluster).counts(3), [1, 2, 3], "two sentinels are enough");
        }
    }

    #[test]
    #[ignore = "needs node: Node.js 20 or newer, redis-server, and `npm ci --prefix steps/node`"]
    fn node_says_as_step_17_does_where_no_sentinel_answers_and_starts_nothing() {
        let ports = [(); 2].map(|()| Port::reserve());
        let [first, second] = ports.each_ref().map(|port| format!("127.0.0.1:{}", port.number));
        let said = PROGRAMS.map(|program| {
            let mut command = program("17_failover");
            command.env("REDIS_URL", format!("redis://:secret@{first},redis://:secret@{second}"));
            let output = Cluster::output(command);
            assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
            String::from_utf8_lossy(&output.stderr).into_owned()
        });
        for line in &said {
            let start = format!("Error: REDIS_URL={first},{second}: ");
            assert!(line.starts_with(&start) && line.to_lowercase().contains("refused"), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(!line.contains("secret"), "the password is for nobody to see: {line}");
        }
    }
}
