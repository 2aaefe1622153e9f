//! What the steps promise that put new workers in the place of the old. Hung up (SIGHUP), the
//! primary reloads: for each worker a new one runs the program that is on the disk now, and no
//! request is lost.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::handoff::{SOON, is_answered_within, stop};
use super::load::{Load, at_least};
use super::supervise::{
    A_LIFE, FINISHED, KILLED, LIMIT, REST, asks, asks_half, at_the_limit, ends_in_order,
    is_answered_for_the_last_time,
};
use crate::{
    Cluster, Ended, Installed, OrFail, answer, assert_deaths, assert_nothing, assert_says,
    assert_status, descriptors, is_dead, pid, root, side_by_side, step, until,
};

/// How long a new worker may take until it is ready.
const READY: Duration = Duration::from_secs(5);

fn hang_up(cluster: &Cluster) {
    cluster.send(Signal::SIGHUP, cluster.primary);
}

/// The deaths of these workers, as [`Cluster::replaced`] returns them, where they were told to finish.
fn finished(workers: &[Pid]) -> BTreeSet<(Pid, String)> {
    workers.iter().map(|worker| (*worker, FINISHED.to_owned())).collect()
}

/// Reloads all workers, and that is all that happens.
#[track_caller]
fn reload(cluster: &mut Cluster) {
    let (count, old) = (cluster.workers.len(), finished(&cluster.workers));
    hang_up(cluster);
    let deaths = cluster.replaced(count);
    assert_deaths(&deaths, &old);
}

/// Waits until the primary has as many workers as `count`, and no other child: those that have said
/// that they run. Then each of them may answer.
#[track_caller]
fn settled(cluster: &Cluster, count: usize) {
    let workers = cluster.workers.len();
    assert_eq!(workers, count, "there should be {count} workers by the console, but not {workers}");
    let workers: BTreeSet<Pid> = cluster.workers.iter().copied().collect();
    until("the primary's children should be those workers, none of them a zombie", || {
        let children = cluster.children();
        let pids: BTreeSet<Pid> = children.iter().map(|child| child.pid).collect();
        pids == workers && children.iter().all(|child| child.state != 'Z')
    });
    for _ in 0..2 * count {
        cluster.assert_answers();
    }
}

/// These should be all workers that the console tells of.
#[track_caller]
fn are_the_workers(cluster: &Cluster, expected: &[Pid]) {
    let list = |pids: &[Pid]| pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(", ");
    let (came, expected) = (list(&cluster.workers), list(expected));
    assert!(came == expected, "by the console the workers should be {expected}, but are {came}");
}

/// Waits for a line on stderr, and checks that it is all that has been said there.
#[track_caller]
fn complains(cluster: &mut Cluster, errors: &str) {
    let lines = errors.lines().count();
    until("it should say on stderr what is wrong", || cluster.stderr().lines().count() >= lines);
    assert_says(&cluster.stderr(), errors);
}

fn called_off(why: &str) -> String {
    format!("Error: reload called off: {why}\n")
}

/// Of two workers there are two, the primary holds as many descriptors as `before`, and all ends in
/// order.
#[track_caller]
fn is_as_it_began(cluster: &mut Cluster, before: usize) {
    settled(cluster, 2);
    until("the primary should hold the descriptors it began with, and no more", || {
        descriptors(cluster.primary).len() <= before
    });
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    ends_in_order(cluster, start);
}

// Nothing is lost.

/// How many times a cluster is reloaded under load.
const TIMES: usize = 20;

/// How much the tests under load do: a cluster more, until it is as much as the environment says.
struct Wanted {
    reloads: usize,
    requests: usize,
}

impl Wanted {
    fn read() -> Wanted {
        Wanted { reloads: at_least("RELOADS"), requests: at_least("REQUESTS") }
    }

    fn is_done(&self, reloads: usize, requests: usize) -> bool {
        reloads >= TIMES.max(self.reloads) && requests >= self.requests
    }
}

/// Each request is answered whole. Half of the clients keep their connection for as long as they
/// may, the others take one for each request. More of it, at the least this for each half:
///
/// ```text
/// RELOADS=100 REQUESTS=1000000 cargo test --release --features part-two --test 12_reload \
///     twenty_reloads_under_load -- --nocapture
/// ```
pub fn twenty_reloads_under_load_lose_no_request(name: &str) {
    let wanted = Wanted::read();
    let (mut reloads, mut kept, mut single) = (0, 0, 0);
    while !wanted.is_done(reloads, kept.min(single)) {
        let mut cluster = Cluster::start(step(name), 2);
        cluster.assert_answers();
        let before = descriptors(cluster.primary).len();
        let (load, clients) = (Load::default(), (4, 4));
        load.during(cluster.port.number, clients, || {
            for _ in 0..TIMES {
                load.is_answered(clients);
                reload(&mut cluster);
            }
        });
        reloads += TIMES;
        kept += load.kept.load(Ordering::Relaxed);
        single += load.single.load(Ordering::Relaxed);
        println!("{reloads} reloads; answered: {kept} on connections kept, {single} on one each");
        load.assert_lost_to_kills_alone(0);
        is_as_it_began(&mut cluster, before);
    }
}

/// Who is idle is waited for a second; whose request has begun, for longer.
pub fn a_worker_that_is_reloaded_finishes_what_it_has_and_gets_no_more(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    let mut busy = asks_half(&cluster, worker);
    let [mut kept, mut idle] = [asks(&cluster), asks(&cluster)];
    for client in [&mut kept, &mut idle] {
        assert!(!answer(client).or_fail("it should be answered").is_the_last(), "not yet");
    }
    let held = descriptors(worker).len();
    let start = Instant::now();
    hang_up(&cluster);
    is_answered_for_the_last_time(&mut kept);
    let new = cluster.started();
    for _ in 0..20 {
        answer(&mut asks(&cluster)).or_fail("the new worker should answer");
    }
    assert!(descriptors(worker).len() <= held, "the old worker should get no more connections");
    assert_eq!(idle.read(&mut [0]).ok(), Some(0), "who is idle should be let go without a word");
    let waited = start.elapsed();
    assert!(waited >= A_LIFE, "but has a second to ask again, and this was {waited:?}");
    assert!(!is_dead(worker), "it has a request to finish");
    busy.write_all(REST).or_fail("the connection should be open");
    let last = answer(&mut busy).or_fail("it should finish its request");
    assert!(last.is_the_last(), "and say that this is the last: {last:?}");
    cluster.dies(worker, FINISHED);
    are_the_workers(&cluster, &[new]);
    settled(&cluster, 1);
}

// The program.

/// A program that says that it is new, and then is the step.
fn a_new_program(name: &str) -> String {
    format!("echo \"$$ is new\"\nexec '{}'", built(name).display())
}

/// The step where Cargo has put it.
fn built(name: &str) -> PathBuf {
    step(name).get_program().into()
}

/// The process that says in that line that it is so.
#[track_caller]
fn who(line: &str, is: &str) -> Pid {
    let who = line.strip_suffix(is).and_then(|it| pid(it.trim_end()));
    who.unwrap_or_else(|| panic!("a new worker should have said that it {is}, not: {line}"))
}

/// Those that come later run it as well.
pub fn the_new_workers_run_the_program_that_is_on_the_disk(name: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 1);
    // What is there when nobody is hung up, says nothing.
    program.replace_by_script("exit 3");
    cluster.assert_answers();
    program.replace_by_script(&a_new_program(name));
    let old = finished(&cluster.workers);
    hang_up(&cluster);
    let new = who(&cluster.line(), "is new");
    assert_deaths(&cluster.replaced(1), &old);
    are_the_workers(&cluster, &[new]);
    settled(&cluster, 1);
    cluster.send(Signal::SIGKILL, new);
    cluster.dies(new, KILLED);
    let next = who(&cluster.line(), "is new");
    assert_eq!(cluster.started(), next, "it should be the one that said that it is new");
    settled(&cluster, 1);
    program.replace_by(&built(name));
    reload(&mut cluster);
    settled(&cluster, 1);
    assert_nothing(cluster.stderr().lines(), "stderr should be empty");
}

/// Where a program stands that cannot be started: hung up, the primary says so in one line, and goes
/// on with what it has; and again, and well again with the next program that is good.
fn calls_off(
    name: &str,
    why: &str,
    bad: impl Fn(&Installed),
    mut happens: impl FnMut(&mut Cluster),
) {
    let program = Installed::new(name);
    let mut command = program.command();
    command.env("RUST_BACKTRACE", "1");
    let mut cluster = Cluster::start(command, 2);
    let old = cluster.workers.clone();
    for times in 1..=2 {
        bad(&program);
        hang_up(&cluster);
        happens(&mut cluster);
        complains(&mut cluster, &called_off(why).repeat(times));
        are_the_workers(&cluster, &old);
        settled(&cluster, 2);
        program.replace_by(&built(name));
    }
    reload(&mut cluster);
    settled(&cluster, 2);
    assert_says(&cluster.stderr(), &called_off(why).repeat(2));
}

pub fn a_reload_is_called_off_where_the_program_is_missing(name: &str) {
    let why = "fork: No such file or directory (os error 2)";
    calls_off(name, why, Installed::remove, |_| {});
}

pub fn a_reload_is_called_off_where_the_program_is_not_executable(name: &str) {
    let why = "fork: Permission denied (os error 13)";
    calls_off(name, why, |program| program.replace_by(&root().join("Cargo.toml")), |_| {});
}

pub fn a_reload_is_called_off_where_the_program_ends_at_its_start(name: &str) {
    let why = "the new worker ended before it was ready";
    for (script, end) in
        [("exit 3", "code 3 signal null"), ("kill -s KILL $$", "code null signal SIGKILL")]
    {
        // Its death is a worker's, and there is one.
        let dies = |cluster: &mut Cluster| cluster.one_dies(end);
        calls_off(name, why, |program| program.replace_by_script(script), dies);
    }
}

/// Both, and then the program is back.
pub fn where_the_program_is_missing_a_dead_worker_is_waited_for_and_no_reload_harms(name: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 2);
    let [dead, alive] = cluster.workers[..] else { unreachable!() };
    program.remove();
    cluster.send(Signal::SIGKILL, dead);
    cluster.dies(dead, KILLED);
    let missing = "fork: No such file or directory (os error 2)";
    complains(&mut cluster, &format!("Error: {missing}\n"));
    hang_up(&cluster);
    let told = called_off(missing);
    until("the reload should be called off", || cluster.stderr().contains(&told));
    are_the_workers(&cluster, &[alive]);
    for _ in 0..4 {
        cluster.assert_answers();
    }
    program.replace_by(&built(name));
    cluster.started();
    settled(&cluster, 2);
    reload(&mut cluster);
    settled(&cluster, 2);
    let stderr = cluster.stderr().replacen(&told, "", 1);
    let tries = stderr.lines().all(|line| line == format!("Error: {missing}"));
    assert!(tries, "one line of the reload, one of each try to replace the dead: {stderr}");
}

// The limits.

/// Each of these takes five seconds or more: side by side, all of them take sixteen.
pub fn a_reload_waits_for_nothing_without_a_limit(name: &str) {
    let all = [
        a_stopped_worker_is_reloaded_after_the_limit_and_its_client_answered_by_another,
        a_new_worker_that_is_not_ready_is_killed_in_the_end,
        a_new_worker_that_is_not_ready_and_has_a_child_is_killed_in_the_end,
        a_new_worker_that_is_ready_too_late_finishes_at_once,
        terminated_during_a_reload_that_never_ends_it_ends_at_the_limit,
    ];
    side_by_side(all, |promise: fn(&str)| promise(name));
}

const NOT_READY: &str = "the new worker was not ready after 5 seconds";

fn a_new_worker_that_is_not_ready_is_killed_in_the_end(name: &str) {
    does_not_become_ready(name, "exec sleep 60");
}

fn a_new_worker_that_is_not_ready_and_has_a_child_is_killed_in_the_end(name: &str) {
    does_not_become_ready(name, "sleep 60\ntrue");
}

/// The child keeps the channel open, and the console.
fn does_not_become_ready(name: &str, script: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 2);
    program.replace_by_script(script);
    let start = Instant::now();
    hang_up(&cluster);
    until("a new worker should have been started", || cluster.children().len() == 3);
    let mut children = cluster.children().into_iter().map(|child| child.pid);
    let new = children.find(|pid| !cluster.workers.contains(pid)).expect("a third");
    complains(&mut cluster, &called_off(NOT_READY));
    let took = start.elapsed();
    assert!(took >= READY && took < READY + 2 * A_LIFE, "after five seconds, not {took:?}");
    cluster.assert_answers();
    // Nobody has to wait until that one is gone.
    program.replace_by(&built(name));
    reload(&mut cluster);
    let death = cluster.next_line(2 * LIMIT);
    assert_eq!(death, Some(format!("{new}번 워커가 종료되었습니다")), "it should be killed");
    assert_says(&cluster.line(), KILLED);
    settled(&cluster, 2);
    assert_says(&cluster.stderr(), &called_off(NOT_READY));
}

fn a_new_worker_that_is_ready_too_late_finishes_at_once(name: &str) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), 1);
    let old = cluster.workers[0];
    gate.close();
    hang_up(&cluster);
    let late = gate.somebody_waits(&mut cluster);
    complains(&mut cluster, &called_off(NOT_READY));
    gate.let_in(1);
    assert_deaths(&cluster.replaced(1), &finished(&[late]));
    are_the_workers(&cluster, &[old]);
    settled(&cluster, 1);
}

/// A connection that it has not taken yet can go to another.
fn a_stopped_worker_is_reloaded_after_the_limit_and_its_client_answered_by_another(name: &str) {
    let mut cluster = Cluster::start(step(name), 2);
    let [asleep, awake] = cluster.workers[..] else { unreachable!() };
    stop(&cluster, &[asleep]);
    let mut clients: Vec<TcpStream> = (0..4).map(|_| asks(&cluster)).collect();
    until("the worker that is awake should answer all clients but one", || {
        clients.retain_mut(|client| !is_answered_within(client, SOON));
        clients.len() == 1
    });
    let start = Instant::now();
    hang_up(&cluster);
    assert_deaths(&cluster.news(2, 1, 0).0, &finished(&[awake]));
    assert!(!is_answered_within(&mut clients[0], SOON), "it waits for the sleeper");
    clients[0].set_read_timeout(Some(2 * LIMIT)).expect("it is no zero");
    answer(&mut clients[0]).or_fail("a new worker should answer it once the sleeper is dead");
    at_the_limit(start.elapsed());
    cluster.dies(asleep, KILLED);
    settled(&cluster, 2);
    assert_nothing(cluster.stderr().lines(), "stderr should be empty");
}

fn terminated_during_a_reload_that_never_ends_it_ends_at_the_limit(name: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 1);
    program.replace_by_script("echo \"$$ waits\"\nexec sleep 60");
    hang_up(&cluster);
    who(&cluster.line(), "waits");
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    let Ended { status, .. } = cluster.wait_for_end_within(2 * LIMIT);
    assert!(start.elapsed() < LIMIT + 3 * A_LIFE, "there is a limit, but it took longer");
    assert_status(status, 0);
}

// What else may come meanwhile.

/// A door that new workers stand at until a test lets them in: the program at the step's place can
/// be one that waits, and says so.
struct Gate<'a> {
    /// Each waits for a line of this pipe. Its other end is open here too, so nobody sees its end.
    pipe: File,
    script: String,
    program: &'a Installed,
}

impl Gate<'_> {
    fn new<'a>(name: &str, program: &'a Installed) -> Gate<'a> {
        let path = program.folder().join("gate");
        let text = CString::new(path.to_str().expect("it is text")).expect("it has no zero");
        // SAFETY: mkfifo(3) reads a text that ends in a zero.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0, "mkfifo {path:?}");
        let pipe = OpenOptions::new().read(true).write(true).open(&path).expect("it is ours");
        let (path, step) = (path.display(), built(name));
        let script = format!("echo \"$$ waits\"\nread -r _ < '{path}'\nexec '{}'", step.display());
        Gate { pipe, script, program }
    }

    /// From now on new workers wait.
    fn close(&self) {
        self.program.replace_by_script(&self.script);
    }

    /// From now on new workers do not wait.
    fn bypass(&self, name: &str) {
        self.program.replace_by(&built(name));
    }

    #[track_caller]
    fn somebody_waits(&self, cluster: &mut Cluster) -> Pid {
        who(&cluster.line(), "waits")
    }

    fn let_in(&self, count: usize) {
        (&self.pipe).write_all(&b"\n".repeat(count)).expect("we can read it, too");
    }
}

/// Runs `story` where a reload of `count` workers has begun, and the first of the new ones waits at
/// the gate. Those that come later do not. Then the workers that are left are `left` in number, and
/// stderr is `errors`.
#[track_caller]
fn during_a_reload(
    name: &str,
    count: usize,
    (left, errors): (usize, &str),
    story: impl FnOnce(&mut Cluster, &Gate, Pid),
) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), count);
    cluster.assert_answers();
    let before = descriptors(cluster.primary).len();
    let old = cluster.workers.clone();
    gate.close();
    hang_up(&cluster);
    let new = gate.somebody_waits(&mut cluster);
    gate.bypass(name);
    story(&mut cluster, &gate, new);
    settled(&cluster, left);
    complains(&mut cluster, errors);
    let more = 2 * left.saturating_sub(old.len());
    until("the primary should hold the descriptors it began with, and no more", || {
        descriptors(cluster.primary).len() <= before + more
    });
    let start = Instant::now();
    let workers = cluster.workers.clone();
    cluster.send(Signal::SIGTERM, cluster.primary);
    if errors.is_empty() {
        ends_in_order(&mut cluster, start);
    } else {
        assert_deaths(&cluster.news(0, left, 0).0, &finished(&workers));
        assert_status(cluster.wait_for_end().status, 0);
    }
}

pub fn an_old_worker_stays_until_a_new_one_is_ready(name: &str) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), 3);
    gate.close();
    hang_up(&cluster);
    let mut new = gate.somebody_waits(&mut cluster);
    for left in (0..3).rev() {
        let children: BTreeSet<Pid> = cluster.children().iter().map(|child| child.pid).collect();
        let expected: BTreeSet<Pid> = cluster.workers.iter().copied().chain([new]).collect();
        assert_eq!(children, expected, "no worker should go for one that is not ready");
        for _ in 0..4 {
            cluster.assert_answers();
        }
        let before = cluster.workers.clone();
        gate.let_in(1);
        // The next one may be at the gate before an old one has gone.
        let (deaths, others) = cluster.news(1, 1, left.min(1));
        let (dead, how) = deaths.into_iter().next().expect("one death");
        assert!(
            before[..=left].contains(&dead),
            "one of the old should go, not {dead}: {before:?}"
        );
        assert_says(&how, FINISHED);
        if let Some(line) = others.first() {
            new = who(line, "waits");
        }
    }
    settled(&cluster, 3);
    assert_nothing(cluster.stderr().lines(), "stderr should be empty");
}

/// As `pkill -HUP` does it: the signal reaches the workers too.
pub fn hung_up_together_with_its_workers_it_reloads_and_they_finish(name: &str) {
    let mut cluster = Cluster::start(step(name), 2);
    let old = finished(&cluster.workers);
    cluster.send_to_all(Signal::SIGHUP).or_fail("the program should run");
    let deaths = cluster.replaced(2);
    assert_deaths(&deaths, &old);
    settled(&cluster, 2);
}

/// The one that had just come goes as well, for its program may have changed since.
pub fn hung_up_during_a_reload_it_begins_anew_for_all(name: &str) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), 2);
    let mut old = finished(&cluster.workers);
    gate.close();
    hang_up(&cluster);
    let first = gate.somebody_waits(&mut cluster);
    old.extend(finished(&[first]));
    program.replace_by_script(&a_new_program(name));
    hang_up(&cluster);
    // Another has been started by now, so the first one is forgotten before it is ready.
    let (_, mut new) = cluster.news(0, 0, 1);
    gate.let_in(1);
    let (deaths, others) = cluster.news(3, 3, 1);
    assert_deaths(&deaths, &old);
    new.extend(others);
    let new: BTreeSet<Pid> = new.iter().map(|line| who(line, "is new")).collect();
    assert_eq!(new, cluster.workers.iter().copied().collect(), "the new program should run");
    settled(&cluster, 2);
    assert_nothing(cluster.stderr().lines(), "stderr should be empty");
}

/// The new one hangs, and the program has been mended since: nobody should have to wait for it.
pub fn hung_up_while_a_new_worker_hangs_it_forgets_that_one_and_reloads_at_once(name: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 2);
    let old = finished(&cluster.workers);
    program.replace_by_script("echo \"$$ waits\"\nexec sleep 60");
    hang_up(&cluster);
    let hangs = who(&cluster.line(), "waits");
    program.replace_by(&built(name));
    let start = Instant::now();
    hang_up(&cluster);
    assert_deaths(&cluster.news(2, 2, 0).0, &old);
    let took = start.elapsed();
    assert!(took < READY, "both workers should be new at once, but that took {took:?}");
    assert_nothing(cluster.stderr().lines(), "no reload should have been called off");
    // The forgotten one is told to finish, and does not hear it.
    let death = cluster.next_line(2 * LIMIT);
    assert_eq!(death, Some(format!("{hangs}번 워커가 종료되었습니다")), "it should be killed");
    assert_says(&cluster.line(), KILLED);
    settled(&cluster, 2);
}

/// As by `pkill -HUP`, pressed twice: the second one reaches a new worker that has no handlers yet,
/// here as soon as it runs the program.
#[cfg(target_os = "linux")]
pub fn hung_up_itself_before_it_has_handlers_a_new_worker_lives(name: &str) {
    let runs = |pid: &Pid| {
        let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|it| it.starts_with(b"CLUSTER_WORKER="))
    };
    let mut cluster = Cluster::start(step(name), 2);
    for _ in 0..20 {
        let old = cluster.workers.clone();
        hang_up(&cluster);
        let start = Instant::now();
        let new = loop {
            let mut children = cluster.children().into_iter().map(|child| child.pid);
            if let Some(new) = children.find(|pid| !old.contains(pid) && runs(pid)) {
                break new;
            }
            assert!(start.elapsed() < READY, "a new worker should have been started");
        };
        let _ = cluster.try_send(Signal::SIGHUP as i32, new);
        assert_deaths(&cluster.news(2, 2, 0).0, &finished(&old));
    }
    assert_nothing(cluster.stderr().lines(), "no reload should have been called off");
}

pub fn fifty_hang_ups_in_a_burst_leave_the_right_number(name: &str) {
    let program = Installed::new(name);
    let mut cluster = Cluster::start(program.command(), 2);
    cluster.assert_answers();
    let before = descriptors(cluster.primary).len();
    let (load, clients) = (Load::default(), (1, 1));
    load.during(cluster.port.number, clients, || {
        load.is_answered(clients);
        for _ in 0..50 {
            hang_up(&cluster);
        }
        // Those of the burst say nothing of it. After them, both workers do.
        program.replace_by_script(&a_new_program(name));
        hang_up(&cluster);
        let mut new = BTreeSet::new();
        until("both workers should be new, and no third be there", || {
            // Counted before the lines are read: one that is gone by now has said all that it says.
            let children = cluster.children().len();
            while let Some(line) = cluster.next_line(SOON) {
                if let Some(worker) = line.strip_suffix("번 워커 실행").and_then(pid) {
                    cluster.workers.push(worker);
                } else if let Some(worker) = line.strip_suffix("번 워커가 종료되었습니다")
                {
                    cluster.workers.retain(|other| Some(*other) != pid(worker));
                    assert_says(&cluster.next_line(A_LIFE).unwrap_or_default(), FINISHED);
                } else {
                    new.insert(who(&line, "is new"));
                }
            }
            let workers = &cluster.workers;
            workers.len() == 2 && workers.iter().all(|worker| new.contains(worker)) && children == 2
        });
        load.is_answered(clients);
    });
    load.assert_lost_to_kills_alone(0);
    is_as_it_began(&mut cluster, before);
}

/// Those whose request has begun, too: at an old worker, and at one that is about to be there.
pub fn terminated_during_a_reload_it_ends_in_order(name: &str) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), 2);
    let old = cluster.workers.clone();
    let mut client = asks_half(&cluster, old[0]);
    gate.close();
    hang_up(&cluster);
    let new = gate.somebody_waits(&mut cluster);
    let start = Instant::now();
    cluster.send(Signal::SIGTERM, cluster.primary);
    cluster.dies(old[1], FINISHED);
    client.write_all(REST).or_fail("the connection should be open");
    assert!(answer(&mut client).or_fail("it should be finished").is_the_last());
    cluster.dies(old[0], FINISHED);
    gate.let_in(1);
    assert_eq!(cluster.started(), new, "it should be the one that waited");
    ends_in_order(&mut cluster, start);
}

/// Whichever it is: the one in its place has to give way, for nobody can tell what it runs.
pub fn an_old_worker_that_is_killed_during_a_reload_changes_nothing(name: &str) {
    for which in 0..2 {
        during_a_reload(name, 2, (2, ""), |cluster, gate, new| {
            let (killed, other) = (cluster.workers[which], cluster.workers[1 - which]);
            cluster.send(Signal::SIGKILL, killed);
            cluster.dies(killed, KILLED);
            let next = cluster.started();
            gate.let_in(1);
            assert_deaths(&cluster.news(2, 2, 0).0, &finished(&[next, other]));
            assert!(cluster.workers.contains(&new));
        });
    }
}

pub fn a_new_worker_that_is_killed_before_it_is_ready_calls_the_reload_off(name: &str) {
    let errors = called_off("the new worker ended before it was ready");
    during_a_reload(name, 2, (2, &errors), |cluster, _, new| {
        let old = cluster.workers.clone();
        cluster.send(Signal::SIGKILL, new);
        cluster.dies(new, KILLED);
        are_the_workers(cluster, &old);
    });
}

pub fn a_new_worker_that_is_killed_while_others_are_still_old_is_replaced(name: &str) {
    let program = Installed::new(name);
    let gate = Gate::new(name, &program);
    let mut cluster = Cluster::start(program.command(), 2);
    let old = finished(&cluster.workers);
    gate.close();
    hang_up(&cluster);
    let first = gate.somebody_waits(&mut cluster);
    gate.let_in(1);
    let (mut gone, others) = cluster.news(1, 1, 1);
    let second = who(&others[0], "waits");
    gate.bypass(name);
    cluster.send(Signal::SIGKILL, first);
    cluster.dies(first, KILLED);
    let next = cluster.started();
    gate.let_in(1);
    gone.extend(cluster.replaced(1));
    assert_eq!(gone, old, "the old, and no other, should go in order");
    are_the_workers(&cluster, &[next, second]);
    settled(&cluster, 2);
    assert_nothing(cluster.stderr().lines(), "stderr should be empty");
}

pub fn one_more_during_a_reload_is_one_more_after_it(name: &str) {
    during_a_reload(name, 2, (3, ""), |cluster, gate, new| {
        let old = finished(&cluster.workers);
        cluster.send(Signal::SIGTTIN, cluster.primary);
        let more = cluster.started();
        gate.let_in(1);
        assert_deaths(&cluster.news(2, 2, 0).0, &old);
        assert!([more, new].iter().all(|it| cluster.workers.contains(it)), "both should stay");
    });
}

pub fn one_fewer_during_a_reload_is_one_fewer_after_it(name: &str) {
    during_a_reload(name, 2, (1, ""), |cluster, gate, new| {
        let old = cluster.workers.clone();
        cluster.send(Signal::SIGTTOU, cluster.primary);
        let (dead, how) = cluster.died();
        assert!(old.contains(&dead) && how == FINISHED, "an old one should go: {dead}, {how}");
        gate.let_in(1);
        let last = cluster.workers[0];
        assert_deaths(&cluster.replaced(1), &finished(&[last]));
        are_the_workers(cluster, &[new]);
    });
}

/// What every program promises besides that can be reloaded: of [`promises_of_every_supervisor`]
/// it keeps all.
#[macro_export]
macro_rules! promises_of_every_reload {
    ($step:literal $(, $needs:ident)?) => {
        $crate::promises! { $step $(, $needs)?:
            twenty_reloads_under_load_lose_no_request
            a_worker_that_is_reloaded_finishes_what_it_has_and_gets_no_more

            the_new_workers_run_the_program_that_is_on_the_disk
            a_reload_is_called_off_where_the_program_is_missing
            a_reload_is_called_off_where_the_program_is_not_executable
            a_reload_is_called_off_where_the_program_ends_at_its_start
            where_the_program_is_missing_a_dead_worker_is_waited_for_and_no_reload_harms
            a_reload_waits_for_nothing_without_a_limit

            an_old_worker_stays_until_a_new_one_is_ready
            hung_up_during_a_reload_it_begins_anew_for_all
            hung_up_while_a_new_worker_hangs_it_forgets_that_one_and_reloads_at_once
            #[cfg(target_os = "linux")] // /proc says which program it runs.
            hung_up_itself_before_it_has_handlers_a_new_worker_lives
            hung_up_together_with_its_workers_it_reloads_and_they_finish
            fifty_hang_ups_in_a_burst_leave_the_right_number
            terminated_during_a_reload_it_ends_in_order
            an_old_worker_that_is_killed_during_a_reload_changes_nothing
            a_new_worker_that_is_killed_before_it_is_ready_calls_the_reload_off
            a_new_worker_that_is_killed_while_others_are_still_old_is_replaced
            one_more_during_a_reload_is_one_more_after_it
            one_fewer_during_a_reload_is_one_fewer_after_it
        }
    };
}
