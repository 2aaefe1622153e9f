//! The tests can fail, and hold wherever they are run: what tests/support promises.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use support::transcript::{Program, play_all, play_text, text_of};
use support::{Cluster, OrFail, PATIENCE, Pid, Signal, is_dead, pid, step, until};

/// Plays a scene with the steps. What is red in `ps` is so for good, a second shows it.
fn play(text: &str) {
    play_text("the scene", text, Program::Step, Duration::from_secs(1));
}

/// What a scene is told that shows another line than the program: the line of both, marked.
fn differs(book: &str, run: &str) -> Vec<String> {
    vec![format!("≠ {book} "), format!("│ {run}").trim_end().to_owned() + "\n"]
}

fn refused(why: &str) -> Vec<String> {
    vec![why.to_owned()]
}

/// Plays each scene, in which `was` stands as `is`, and panics where one of them passes, or is not
/// told what is wrong.
fn are_red(scenes: &[(&str, &str, &str, Vec<String>)]) {
    let try_it = |(name, was, is, told): &(&str, &str, &str, Vec<String>)| {
        let text = text_of(name);
        assert_eq!(text.matches(was).count(), 1, "{name} should have this once: {was}");
        let text = text.replace(was, is);
        let Err(panic) = catch_unwind(|| play(&text)) else {
            panic!("{name} passes with `{is}` in place of `{was}`");
        };
        let message = panic.downcast_ref::<String>().expect("a panic with a message");
        for part in told {
            assert!(message.contains(part), "{name} with `{is}` should be told {part}: {message}");
        }
    };
    thread::scope(|scope| {
        for scene in scenes {
            scope.spawn(move || try_it(scene));
        }
    });
}

#[test]
fn a_scene_with_another_text_is_red() {
    are_red(&[
        ("00_fork", "33096번 워커 실행", "33096번 워커 시작", refused("≠ 33096번 워커 시작")),
        (
            "00_fork",
            "Hello Cluster!",
            "Hello Klaster!",
            refused("≠ <h1>Hello Node!</h1><p>Hello Klaster!</p>"),
        ),
        (
            "02_exit_log",
            "signal SIGTERM",
            "signal SIGKILL",
            differs("code null signal SIGKILL", "code null signal SIGTERM"),
        ),
        ("00_settings", "from 1 to", "from 0 to", refused("≠ Error: PORT")),
    ]);
}

#[test]
fn a_scene_with_another_number_is_red_unless_it_is_a_process_id() {
    let told = "not a whole number from 1 to";
    let error = |max| format!("Error: PORT=\"eighty\": {told} {max}");
    are_red(&[
        ("00_settings", "65535", "70000", differs(&error(70000), &error(65535))),
        ("00_settings", "$ echo $?\n1", "$ echo $?\n2", differs("2", "1")),
        ("02_interrupt", "130", "0", differs("0", "130")),
        ("00_port_taken", "PORT=8086:", "PORT=8087:", refused("≠ Error: PORT=8087:")),
    ]);
    let renamed = text_of("03_respawn").replace("3309", "400").replace("33100", "40010");
    play(&renamed);
}

#[test]
fn a_scene_in_which_an_id_is_anothers_is_red() {
    are_red(&[
        // The worker that was killed, and the one that was not.
        (
            "02_exit_log",
            "$ kill -KILL 33097\n──── 1 ────\n33097",
            "$ kill -KILL 33097\n──── 1 ────\n33098",
            refused("≠ 33098번 워커가 종료되었습니다"),
        ),
        (
            "03_respawn",
            "code null signal SIGTERM\n33100번",
            "code null signal SIGTERM\n33099번",
            refused("≠ 33099번 워커 실행"),
        ),
        ("03_respawn", "33100   33094", "33100   33095", differs("33100 33095", "33100 33094")),
        ("00_fork", "33096   33094", "33096       1", differs("33096 1", "33096 33094")),
        // Ids that nobody has.
        (
            "02_exit_log",
            "$ kill -TERM 33098\n──── 1 ────\n33098",
            "$ kill -TERM 33098\n──── 1 ────\n33999",
            refused("≠ 33999번 워커가 종료되었습니다"),
        ),
        (
            "02_exit_log",
            "$ kill -TERM 33098",
            "$ kill -TERM 33999",
            refused("whose id is this? kill -TERM 33999"),
        ),
        ("00_fork", "-p 33095,33096", "-p 33095,33999", refused("whose ids are these?")),
        (
            "00_fork",
            "  33095   33094\n  33096   33094",
            "  33096   33094\n  33095   33094",
            refused("`ps` lists by process id"),
        ),
        // One that has ended.
        (
            "02_exit_log",
            "$ kill -TERM 33098",
            "$ kill -TERM 33095",
            refused("it has ended already: kill -TERM 33095"),
        ),
    ]);
}

#[test]
fn a_scene_with_a_line_too_many_too_few_or_in_another_order_is_red() {
    let dead = |pid| format!("{pid}번 워커가 종료되었습니다");
    are_red(&[
        // Too few: a death that another one follows, the last line, and one of `ps`.
        (
            "02_exit_log",
            "33097번 워커가 종료되었습니다\ncode null signal SIGKILL\n",
            "",
            differs("33098번 워커가 종료되었습니다", "33097번 워커가 종료되었습니다"),
        ),
        ("02_exit_log", "code null signal SIGTERM\n", "", differs("", "code null signal SIGTERM")),
        ("01_killed", "  33097   33094\n", "", refused("≠")),
        (
            "00_port_taken",
            "Error: PORT=8086: Address already in use (os error 98)\n",
            "",
            refused("≠"),
        ),
        // Too many.
        (
            "02_exit_log",
            "signal SIGTERM\n",
            "signal SIGTERM\ncode null signal SIGTERM\n",
            differs("code null signal SIGTERM", ""),
        ),
        ("00_settings", "$ echo $?\n1", "$ echo $?\n1\n1", differs("1", "")),
        ("02_interrupt", "^C\n", "^C\n33095번 워커가 종료되었습니다\n", differs(&dead(33095), "")),
        (
            "00_last_worker",
            "$ kill -TERM 33096\n",
            "$ kill -TERM 33096\n33096\n",
            differs("33096", ""),
        ),
        ("01_crash", "$ sleep 2\n", "$ sleep 2\n2\n", differs("2", "")),
        // Another order.
        (
            "02_exit_log",
            "33098번 워커가 종료되었습니다\ncode null signal SIGTERM",
            "code null signal SIGTERM\n33098번 워커가 종료되었습니다",
            differs("code null signal SIGTERM", "33098번 워커가 종료되었습니다"),
        ),
        (
            "00_fork",
            "마스터 프로세스 아이디: 33094\n33095번 워커 실행",
            "33095번 워커 실행\n마스터 프로세스 아이디: 33094",
            refused("≠ 33095번 워커 실행"),
        ),
    ]);
}

#[test]
fn a_scene_that_is_over_before_its_console_is_red() {
    // Who answers has said before that it runs.
    let page = "<h1>Hello Node!</h1><p>Hello Cluster!</p>";
    let text = format!(
        "──── 1 ────\n$ WORKERS=1 cargo run --bin 00_fork\n──── 2 ────\n$ curl localhost:8086\n{page}\n"
    );
    assert!(catch_unwind(|| play(&text)).is_err(), "it does not show what the program printed");
}

#[test]
fn a_scene_that_cannot_be_played_to_the_letter_is_refused() {
    are_red(&[
        ("00_fork", "──── 2 ────", "──── 6 ────", refused("which terminal? ──── 6 ────")),
        ("00_fork", "──── 2 ────", "──── 4 ────", refused("terminal 4 is for a second host")),
        ("00_fork", "──── 2 ────", "──── 5 ────", refused("who prints this? $ curl")),
        ("00_fork", "──── 2 ────", "──── 2 ───", refused("which terminal? ──── 2 ───")),
        ("00_fork", "──── 1 ────\n", "", refused("who prints this?")),
        ("00_fork", "──── 1 ────\n$", "──── 1 ────\nhello\n$", refused("a program first")),
        ("00_fork", "──── 2 ────\n", "──── 2 ────\nhello\n", refused("who prints this? hello")),
        (
            "00_fork",
            "──── 2 ────",
            "$ cargo run --bin 00_fork\n──── 2 ────",
            refused("terminal 1 is busy"),
        ),
        ("00_fork", "cargo run --bin", "cargo run -q --bin", refused("cannot run this")),
        ("00_fork", "cargo run --bin 00_fork", "node 00_fork.mjs", refused("which twin?")),
        (
            "00_fork",
            "WORKERS=2",
            "PORT=9000 WORKERS=2",
            refused("the port is the test's to choose"),
        ),
        ("00_fork", "$ curl", "$ wget", refused("cannot run this: wget localhost:8086")),
        ("00_fork", "$ curl", "$ curl -i", refused("what is this to curl? curl -i")),
        ("00_fork", "localhost:8086", "localhost:80860", refused("what is this to curl?")),
        (
            "00_fork",
            "localhost:8086",
            "localhost:8086 localhost:9000",
            refused("what is this to curl?"),
        ),
        ("00_last_worker", "$ kill -KILL 33095", "$ kill -KLIL 33095", refused("no such signal")),
        ("00_last_worker", "$ kill -KILL 33095", "$ kill -KILL", refused("whom?")),
        ("00_fork", "$ ps -o pid,ppid", "$ ps -o pid", refused("cannot run this: ps")),
        ("01_crash", "$ sleep 2", "$ sleep soon", refused("cannot run this: sleep soon")),
        (
            "00_settings",
            "$ echo $?\n1\n",
            "",
            refused("it leaves the program running, but that has ended"),
        ),
    ]);
}

/// curl's path and options.
#[test]
fn a_scene_asks_what_its_curl_asks() {
    let scene = |command: &str, printed: &str| {
        let text = format!(
            "──── 1 ────\n$ WORKERS=1 cargo run --bin 04_errors\n마스터 프로세스 아이디: 33094\n\
             33095번 워커 실행\n──── 2 ────\n$ {command}\n{printed}\n"
        );
        catch_unwind(|| play(&text)).is_ok()
    };
    let wrong = "<h1>Bad Request</h1><p>Ask for line 1 or 2.</p>";
    assert!(scene("curl localhost:8086/1", "<h1>Hello Node!</h1>"));
    assert!(!scene("curl localhost:8086/2", "<h1>Hello Node!</h1>"), "it asks for another path");
    assert!(scene("curl localhost:8086/x", wrong));
    assert!(scene("curl -s localhost:8086/x || echo refused", wrong), "400 is an answer");
    let code = r"curl -s -o /dev/null -w '%{http_code}\n' localhost:8086/";
    assert!(scene(&format!("{code}x"), "400"));
    assert!(!scene(&format!("{code}x"), "200"), "it is told another status");
    assert!(scene(&format!("{code}1"), "200"));
}

#[test]
fn a_scene_shows_stderr_where_a_terminal_shows_it() {
    let panic = "panicked at steps/04_errors.rs:1:1:\nindex out of bounds: the len is 2 but the index is 2\n";
    let death = "33095번 워커가 종료되었습니다\ncode 101 signal null\n";
    let asked = "──── 1 ────\n$ WORKERS=1 cargo run --bin 04_errors\n마스터 프로세스 아이디: 33094\n\
                 33095번 워커 실행\n──── 2 ────\n$ curl localhost:8086/3\n\
                 curl: (52) Empty reply from server\n──── 1 ────\n";
    let passes = |text: &str| {
        let text = format!("{asked}{text}33096번 워커 실행\n");
        catch_unwind(|| play(&text)).is_ok()
    };
    assert!(passes(&format!("{panic}{death}")));
    assert!(!passes(death), "the panic is missing");
    assert!(!passes(&format!("{death}{panic}")), "a worker panics before it ends");
    let elsewhere = panic.replace("04_errors.rs", "03_respawn.rs");
    assert!(!passes(&format!("{elsewhere}{death}")), "it panics in another file");
    let other = panic.replace("the len is 2", "the len is 3");
    assert!(!passes(&format!("{other}{death}")), "it says something else");
}

#[test]
fn a_scene_leaves_stderr_out_where_its_command_does() {
    let passes = |command: &str, panic: &str| {
        let text = format!(
            "──── 1 ────\n$ WORKERS=1 {command}\n마스터 프로세스 아이디: 33094\n33095번 워커 실행\n\
             ──── 2 ────\n$ curl -s localhost:8086/3\n──── 1 ────\n{panic}\
             33095번 워커가 종료되었습니다\ncode 101 signal null\n33096번 워커 실행\n"
        );
        catch_unwind(|| play(&text)).is_ok()
    };
    let panic = "panicked at steps/04_errors.rs:1:1:\nindex out of bounds: the len is 2 but the index is 2\n";
    assert!(passes("cargo run --bin 04_errors 2>/dev/null", ""));
    assert!(!passes("cargo run --bin 04_errors 2>/dev/null", panic), "stderr is left out");
    assert!(!passes("cargo run --bin 04_errors", ""), "stderr is not left out");
}

#[test]
fn a_scene_that_runs_node_is_left_to_the_tests_that_need_node() {
    let panic = catch_unwind(|| play_all("threads_node")).expect_err("each of these runs Node");
    let message = panic.downcast_ref::<String>().expect("a panic with a message");
    assert!(message.contains("there is no book/console/threads_node*.console"), "{message}");
}

#[test]
#[ignore = "needs node: Node.js 20 or newer"]
fn a_scene_that_runs_node_can_be_red() {
    are_red(&[
        ("threads_node", "one thread", "two threads", differs("two threads", "one thread")),
        ("threads_node", "127.0.0.1:8086", "127.0.0.1:8087", refused("≠")),
        ("threads_node_exit", "$ echo $?\n0", "$ echo $?\n1", differs("1", "0")),
        (
            "04_node",
            "code 1 signal",
            "code 101 signal",
            differs("code 101 signal null", "code 1 signal null"),
        ),
        ("04_node", " 2>/dev/null", "", refused("≠ 33095번 워커가 종료되었습니다")),
    ]);
    // The second thread may fail before the first has said that it runs.
    let line = "listen EADDRINUSE: address already in use 127.0.0.1:8086\n";
    let start = "33094번 워커 실행\n";
    let text = text_of("threads_node");
    assert!(text.contains(&format!("{start}{line}")), "{text}");
    play(&text.replace(line, "").replace(start, &format!("{line}{start}")));
}

#[test]
fn a_scene_shows_a_panic_as_the_standard_library_does() {
    let passes = |thread: &str| {
        let text = format!(
            "──── 1 ────\n$ WORKERS=1 cargo run --bin threads\n마스터 프로세스 아이디: 33094\n\
             33094번 워커 실행\n──── 2 ────\n$ curl -s -o /dev/null localhost:8086/panic\n──── 1 ────\n\n\
             thread '<unnamed>'{thread} panicked at steps/threads.rs:1:1:\none thread\n\
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\
             $ echo $?\n0\n"
        );
        catch_unwind(|| play(&text)).is_ok()
    };
    assert!(passes(" (33095)"), "a thread has a number that nobody has");
    assert!(passes(""), "before Rust 1.91 it has none");
    let mut cluster = Cluster::start(step("threads"), 1);
    cluster.get("/panic").or_fail("tiny_http answers for it");
    let numbered = cluster.end().stderr.contains("' (");
    if cfg!(target_os = "linux") && numbered {
        assert!(!passes(" (33094)"), "only the first thread has its process's number");
    }
}

/// Who has edited a step reads what the tests say.
#[test]
fn a_failure_says_in_words_what_should_have_come_and_what_came() {
    type Failing = fn(&mut Cluster);
    let failures: [(Failing, &str); 6] = [
        (|it| it.assert_answer("GET", "/1", 200, "page"), "\nbut the answer has\n    status 200, "),
        (|it| it.assert_answer("POST", "/3", 200, "page"), "POST /3 should be answered, but the"),
        (|it| it.assert_no_answer("/1"), "GET /1 should get no answer, but the answer has status"),
        (|it| it.one_dies("code 0 signal null"), "with `code 0 signal null`, but the console says"),
        (
            |it| assert!(it.started() == it.primary),
            "`PID번 워커 실행`, but the program ended (exit status: 7)",
        ),
        (|it| it.send(Signal::SIGTERM, it.primary), "should get SIGTERM, but it has ended"),
    ];
    let mut cluster = Cluster::start(step("04_errors"), 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo 1번 워커가 종료되었습니다; echo code 7 signal null; exit 7"]);
    let mut ending = Cluster::spawn(shell, support::Console::Read);
    for (at, (failing, told)) in failures.into_iter().enumerate() {
        let cluster = if at < 3 { &mut cluster } else { &mut ending };
        let failure = catch_unwind(AssertUnwindSafe(|| failing(cluster)));
        let failure = failure.expect_err(told);
        let message = failure.downcast_ref::<String>().expect("a panic with a message");
        assert!(message.contains(told), "it should be told {told:?}, but it is {message}");
    }
}

#[test]
fn a_cluster_ends_with_its_test_however_that_goes() {
    let name = "a_cluster_ends_with_its_test_however_that_goes";
    // Run by itself once more, below, it waits to be killed.
    if env::var_os("WAIT_TO_BE_KILLED").is_some() {
        let cluster = Cluster::start(step("00_fork"), 1);
        println!("\nstarted {} {}", cluster.primary, cluster.workers[0]);
        thread::sleep(PATIENCE);
        panic!("nobody has killed this test");
    }
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", "--nocapture", name]).env("WAIT_TO_BE_KILLED", "yes");
    let mut test = test.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let started = lines.find_map(|line| line.strip_prefix("started ").map(str::to_owned));
    test.kill().unwrap();
    test.wait().unwrap();
    for started in started.expect("it has started a cluster").split(' ').map(pid) {
        let process = started.expect("a process id");
        until("a cluster should end once its test is killed", || is_dead(process));
    }
}

#[test]
fn a_signal_goes_to_nobody_but_the_processes_that_a_cluster_has_now() {
    let mut cluster = Cluster::start(step("00_fork"), 2);
    let (primary, workers) = (cluster.primary, cluster.workers.clone());
    let harmless = Signal::SIGCONT as i32;
    assert_eq!(cluster.try_send(harmless, Pid::this()), Err(Errno::ESRCH), "this is the test");
    cluster.send(Signal::SIGKILL, workers[0]);
    until("the primary should notice", || cluster.children().len() == 1);
    assert_eq!(cluster.try_send(harmless, workers[0]), Err(Errno::ESRCH), "it has ended");
    assert_eq!(cluster.try_send(harmless, workers[1]), Ok(()));
    cluster.end();
    for id in [primary, workers[1]] {
        assert_eq!(cluster.try_send(harmless, id), Err(Errno::ESRCH), "all have ended");
    }
}

/// Each signal ends what is started here, and it is reached without a proxy. (SIGPIPE would not: a
/// Rust program ignores it by itself.)
#[test]
fn a_cluster_has_the_signals_and_the_network_of_a_terminal() {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGUSR1] {
        let mut cluster = Cluster::start(step("00_fork"), 1);
        cluster.assert_answers();
        cluster.send(signal, cluster.primary);
        assert_eq!(cluster.wait_for_end().status.signal(), Some(signal as i32));
    }
}

/// The test above, run again by this program as `change` changes it.
fn again(change: impl FnOnce(&mut Command)) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_cluster_has_the_signals_and_the_network_of_a_terminal"]);
    change(&mut command);
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "it failed there: {stdout}");
}

/// A shell starts what a script puts into the background with SIGINT and SIGQUIT ignored, and
/// nohup(1) a program with SIGHUP ignored; others block signals.
#[test]
fn so_it_is_where_every_signal_is_ignored_and_blocked() {
    let ignore_and_block = || {
        for signal in (1..=64).filter(|signal| *signal != libc::SIGCHLD) {
            // SAFETY: SIG_IGN installs no handler.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(SigSet::all().thread_block()?)
    };
    again(|command| {
        // SAFETY: it only calls what is async-signal-safe.
        unsafe { command.pre_exec(ignore_and_block) };
    });
}

#[test]
fn so_it_is_behind_a_proxy_that_is_gone() {
    again(|command| {
        for name in
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        {
            command.env(name, "http://127.0.0.1:9");
        }
        command.env_remove("no_proxy").env_remove("NO_PROXY");
    });
}

/// Its scene is one of a step that only a feature builds.
#[cfg(feature = "part-two")]
#[test]
fn a_scene_in_which_the_curl_that_waits_gets_something_else_or_nothing_is_red() {
    let page = "──── 3 ────\n<h1>Hello Node!</h1><p>Hello Cluster!</p>\n";
    let curl = "──── 3 ────\n$ curl localhost:8086\n";
    are_red(&[
        ("06_stopped", "Hello Cluster!", "Hello Klaster!", refused("≠ <h1>Hello Node!</h1>")),
        ("06_stopped", page, "", refused("it should show what comes of it: curl")),
        ("06_stopped", curl, "", refused("what prints this in terminal 3?")),
        (
            "06_stopped",
            curl,
            "──── 3 ────\n$ ls\n",
            refused("terminal 3 is for a curl that has to"),
        ),
        ("06_stopped", curl, &format!("{curl}$ curl localhost:8086\n"), refused("is busy")),
    ]);
}

/// These scenes are of a step that only a feature builds.
#[cfg(feature = "part-two")]
#[test]
fn a_scene_of_a_cluster_that_is_told_to_end_is_red_where_it_goes_otherwise() {
    let deaths =
        "33096번 워커가 종료되었습니다\ncode 0 signal null\n33097번 워커가 종료되었습니다\n";
    let dead_twice = deaths.replace("33096", "33097");
    let as_killed = deaths.replace("code 0 signal null", "code null signal SIGTERM");
    are_red(&[
        // More and fewer.
        ("11_scale", "33097번 워커 실행\n", "", refused("≠")),
        ("11_scale", "-TTOU 33094", "-TTOU 33096", refused("that would stop it: kill -TTOU 33096")),
        ("11_scale", "-TTOU", "-TTIN", refused("≠ 33095번 워커가 종료되었습니다")),
        // The deaths that end it: each of them once, and as it was.
        ("11_scale", deaths, &dead_twice, refused("≠ 33097번 워커가 종료되었습니다")),
        ("11_scale", deaths, &as_killed, refused("≠ code null signal SIGTERM")),
        ("11_scale", "$ echo $?\n0", "$ echo $?\n143", differs("143", "0")),
        // One Ctrl-C is not two.
        ("08_twice", "^C\n$ echo", "$ echo", refused("≠")),
        // The limit.
        ("07_patience", "Error: MAX_FAILURES=3", "Error: MAX_FAILURES=4", refused("≠ Error: ")),
        ("07_patience", "WORKERS=1 MAX_FAILURES=3", "WORKERS=1 MAX_FAILURES=2", refused("≠ 33097")),
    ]);
    // Workers that leave together say so in any order.
    let second = "33097번 워커가 종료되었습니다\ncode 0 signal null\n";
    let text = text_of("11_scale");
    play(
        &text
            .replace(second, "")
            .replace("33096번 워커가 종", &format!("{second}33096번 워커가 종")),
    );
}

/// These scenes are of a step that only a feature builds.
#[cfg(feature = "part-two")]
#[test]
fn a_scene_of_a_reload_is_red_where_it_goes_otherwise() {
    let death = "33096번 워커가 종료되었습니다\ncode 0 signal null\n";
    let aside = "$ mv target/debug/12_reload target/aside\n";
    let back = "$ mv target/aside target/debug/12_reload\n";
    are_red(&[
        // Each worker has a successor, and each of the old dies once, as it did. What is missing
        // first depends on the order.
        ("12_reload", "33098번 워커 실행\n", "", refused("")),
        ("12_reload", death, "", refused("")),
        ("12_reload", death, &death.replace("33096", "33095"), refused("≠")),
        ("12_reload", death, &death.replace("33096", "33097"), refused("≠")),
        ("12_reload", death, &death.replace("code 0", "code 1"), refused("≠ code 1 signal null")),
        ("12_reload", death, &death.replace("code 0 signal null\n", ""), refused("≠")),
        ("12_reload", "  33098   33094\n", "", refused("≠")),
        // No other signal has the starts and the deaths in any order, nor this one to a worker.
        ("12_reload", "-HUP 33094", "-TTIN 33094", refused("≠ 33095번 워커가 종료되었습니다")),
        (
            "12_reload",
            "-HUP 33094",
            "-HUP 33096",
            refused("a process that was sent a signal should be dead"),
        ),
        // The program has to be where it was, or not.
        ("12_called_off", aside, "", refused("≠ Error: reload called off: ")),
        (
            "12_called_off",
            "No such file",
            "No such program",
            refused("≠ Error: reload called off: "),
        ),
        ("12_called_off", back, "", refused("│ Error: reload called off: fork: No such file")),
        ("12_called_off", "target/aside target", "target/gone target", refused("mv ")),
        ("12_called_off", "mv target/aside", "mv /etc/aside", refused("cannot move this")),
    ]);
    // The first of the old may be gone before its successor has had its say.
    let text = text_of("12_reload");
    let first = "33095번 워커가 종료되었습니다\ncode 0 signal null\n";
    let start = "33097번 워커 실행\n";
    assert!(text.contains(&format!("{start}{first}")), "{text}");
    play(&text.replace(first, "").replace(start, &format!("{first}{start}")));
    play(&text.replace(first, "").replace(death, &format!("{death}{first}")));
}

/// These scenes are of a step that only a feature builds.
#[cfg(feature = "part-two")]
#[test]
fn a_scene_of_a_visitor_is_red_where_another_worker_answers_or_counts_otherwise() {
    let visit = "$ curl -b jar -c jar localhost:8086\n";
    let to_another = "$ curl -b jar -c other localhost:8086\n";
    are_red(&[
        ("13_session", "33096번 워커, 2번째", "33095번 워커, 2번째", refused("≠ <h1>")),
        ("13_session", "33095번 워커, 2번째", "33095번 워커, 3번째", refused("≠ <h1>")),
        ("13_kept", "33095번 워커, 2번째", "33096번 워커, 1번째", refused("≠ <h1>")),
        ("13_kept", "33096번 워커, 1번째", "33096번 워커, 4번째", refused("≠ <h1>")),
        ("13_kept", visit, to_another, refused("should read one jar, and write the same: curl")),
        ("13_forgotten", "33096번 워커, 1번째", "33096번 워커, 3번째", refused("≠ <h1>")),
        ("13_forgotten", "33097번 워커, 1번째", "33096번 워커, 1번째", refused("≠ <h1>")),
    ]);
}

/// These scenes are of a step that only a feature builds.
#[cfg(feature = "redis")]
#[test]
#[ignore = "needs redis-server: Redis"]
fn a_scene_with_redis_is_red_where_it_goes_otherwise() {
    let server = "redis-server --bind 127.0.0.1 --save '' --loglevel warning";
    let other = "redis-server --bind 127.0.0.1 --port 1";
    let twice = format!("$ {server}\n$ {server}\n");
    let get = "get session:5cc0233a6c932e0574dd8a8ed2376498";
    let get_another = "get session:6cc0233a6c932e0574dd8a8ed2376498";
    are_red(&[
        ("14_redis", "33096번 워커, 3번째", "33096번 워커, 1번째", refused("≠ <h1>")),
        (
            "14_redis",
            server,
            other,
            refused("terminal 3 is for a curl that has to wait, or Redis:"),
        ),
        ("14_redis", &format!("$ {server}\n"), &twice, refused("terminal 3 is busy: ")),
        ("14_keys", get, get_another, refused("│ (nil)")),
        ("14_keys", "\"2\"", "\"3\"", refused("≠ \"3\"")),
        ("14_gone", "$ redis-cli shutdown\n", "", refused("≠ <h1>Service Unavailable</h1>")),
        ("14_gone", " 503", " 500", refused("≠ <h1>Service Unavailable</h1>")),
    ]);
}

#[test]
#[ignore = "needs redis-server: Redis"]
#[cfg(feature = "part-three")]
fn a_scene_with_a_lent_socket_is_red_where_it_goes_otherwise() {
    let lend = "$ scripts/lend bash\n";
    let curl = "──── 2 ────\n$ curl localhost:8086\n";
    are_red(&[
        // Its own socket is gone with it.
        ("15_socket", lend, "", refused("│ curl: ")),
        ("15_socket", lend, "$ scripts/lend zsh\n", refused("cannot run this: ")),
        ("15_socket", lend, "$ scripts/lend bash\nhello\n", refused("cannot run this: ")),
        ("15_socket", curl, "", refused("who prints this? <h1>")),
        ("15_socket", "33098번 워커, 1번째", "33098번 워커, 2번째", refused("≠ <h1>")),
        ("15_socket", "33098번 워커, 1번째", "33095번 워커, 1번째", refused("≠ <h1>")),
        ("15_socket", "$ WORKERS=3", "$ WORKERS=2", refused("≠ 33100번 워커 실행")),
    ]);
}

#[test]
#[ignore = "needs redis-server: Redis"]
#[cfg(feature = "part-three")]
fn a_scene_with_sentinels_is_red_where_it_goes_otherwise() {
    let (start, kill) = ("$ scripts/sentinels\n", "$ kill -KILL 33101\n");
    let refused_once = "mymaster=127.0.0.1:6380: Connection refused (os error 111)\n──── 2";
    let refused_by_another = "mymaster=127.0.0.1:6381: Connection refused (os error 111)\n──── 2";
    are_red(&[
        ("17_failover", start, "$ scripts/sentinels\nhello\n", refused("≠ hello")),
        ("17_failover", &format!("──── 3 ────\n{start}"), "", refused("who prints this? master")),
        ("17_failover", "6381, process 33102", "6382, process 33102", refused("≠ replica")),
        ("17_failover", kill, "$ kill -TERM 33101\n", refused("a server is killed, stopped")),
        ("17_failover", kill, "$ kill -KILL 33102\n", refused("≠ <h1>Service Unavailable</h1>")),
        ("17_failover", " 503", " 500", refused("≠ <h1>Service Unavailable</h1>")),
        ("17_failover", "2번째", "3번째", refused("≠ <h1>Hello Cluster!</h1>")),
        ("17_failover", "2) \"6381\"", "2) \"6380\"", refused("≠ 2) \"6380\"")),
        ("17_failover", refused_once, refused_by_another, refused("≠ Error: ")),
    ]);
}
