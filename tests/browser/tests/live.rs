//! `<cluster-live>`, the cluster of part two: for the same treatment it says what the real programs
//! say, and its clients get what theirs get. Linux tells which process holds a connection.
#![cfg(target_os = "linux")]

mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use browser_tests::*;
use real::{a_second, build};
use serde_json::json;
use support::{
    Cluster, Console, Installed, Pid, Redis, Signal, any_answer, is_dead, is_stopped, sockets,
    step, until,
};

/// One thing a reader does to the element, and a person to the real program.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A client asks, and goes when it is answered.
    Ask,
    /// One sends half of its request.
    Half,
    /// One keeps its connection.
    Keep,
    /// This visitor asks, with the cookie.
    Visit(&'static str),
    /// This one does so on a connection that is kept.
    Stay(&'static str),
    /// The client of that number, counted from 1, sends the other half.
    Rest(usize),
    /// That one asks once more.
    Again(usize),
    Send(Signal, Who),
    Interrupt,
    /// From now on this is the program: v1, exit or nothing.
    Install(&'static str),
    /// From now on Redis is up, gone or refuses.
    Turn(&'static str),
    /// A second goes by.
    Second,
    /// Time goes by until what was to happen by itself has happened.
    Next,
}
use Act::*;

#[derive(Clone, Copy, Debug)]
enum Who {
    Primary,
    /// The worker of that number, in the order in which they started.
    Worker(usize),
    /// The worker that holds the connection of that client.
    Holder(usize),
}
use Who::*;

use Signal::{
    SIGCONT as CONT, SIGHUP as HUP, SIGINT as INT, SIGKILL as KILL, SIGSTOP as STOP,
    SIGTERM as TERM, SIGTTIN as TTIN, SIGTTOU as TTOU,
};

/// What can be done to every step, be it that each makes something else of it.
const TREATMENTS: [&[Act]; 14] = [
    &[Ask, Ask, Ask, Send(KILL, Worker(1)), Ask, Ask],
    &[Half, Send(KILL, Holder(1)), Ask],
    &[Half, Rest(1), Half, Ask, Rest(2)],
    &[Half, Send(TERM, Primary), Ask, Rest(1)],
    &[Keep, Again(1), Send(TERM, Primary), Again(1), Ask],
    &[Keep, Half, Interrupt, Rest(2), Again(1)],
    &[Half, Send(STOP, Holder(1)), Ask, Ask, Ask, Send(CONT, Holder(1)), Rest(1)],
    &[Half, Send(STOP, Holder(1)), Ask, Ask, Send(KILL, Holder(1)), Ask],
    &[Send(INT, Worker(1)), Send(TERM, Worker(2)), Ask, Ask, Send(HUP, Worker(1)), Ask],
    &[Send(KILL, Primary), Ask],
    &[Send(STOP, Primary), Ask, Send(KILL, Primary), Ask],
    &[Send(STOP, Primary), Ask, Ask, Send(CONT, Primary), Ask],
    &[Half, Send(STOP, Holder(1)), Send(TERM, Primary), Ask],
    &[Send(STOP, Worker(2)), Send(TERM, Worker(2)), Send(CONT, Worker(2)), Ask],
];

/// To those in which workers get connections in turn, and not by chance.
const TURNS: [&[Act]; 3] = [
    &[Keep, Keep, Send(KILL, Holder(2)), Again(1), Again(2)],
    &[Keep, Keep, Keep, Keep, Send(KILL, Holder(3)), Keep, Keep],
    &[Half, Half, Send(STOP, Holder(1)), Ask, Ask, Half, Send(KILL, Holder(1)), Rest(2), Rest(5)],
];

/// To the steps that have patience.
const YOUNG: [&[Act]; 4] = [
    &[Second, Send(KILL, Worker(1)), Send(KILL, Worker(3)), Next, Ask],
    &[Install("exit"), Send(KILL, Worker(1)), Next, Next, Next, Ask],
    &[Second, Install("nothing"), Send(KILL, Worker(2)), Next, Install("v1"), Next, Ask],
    &[Second, Install("exit"), Send(KILL, Worker(2)), Next, Next, Next, Ask],
];

/// To those that finish what has begun. Each of the last two takes ten seconds.
const FINISH: [&[Act]; 5] = [
    &[Half, Half, Send(TERM, Primary), Rest(2), Ask, Rest(1)],
    &[Half, Send(STOP, Holder(1)), Interrupt, Second, Interrupt],
    &[Half, Send(TERM, Primary), Send(KILL, Holder(1)), Ask],
    &[Keep, Send(TERM, Primary), Next],
    &[Half, Send(HUP, Worker(1)), Send(TERM, Primary), Next, Ask],
];

/// To those that let nobody down who was let in.
const LET_IN: [&[Act]; 4] = [
    &[Send(STOP, Primary), Ask, Ask, Ask, Ask, Ask, Send(TERM, Primary), Send(CONT, Primary)],
    &[
        Send(STOP, Worker(1)),
        Send(STOP, Worker(2)),
        Ask,
        Ask,
        Ask,
        Send(TERM, Primary),
        Send(KILL, Worker(1)),
        Send(KILL, Worker(2)),
    ],
    &[Send(STOP, Worker(1)), Ask, Send(TERM, Primary), Ask, Send(CONT, Worker(1))],
    &[
        Send(STOP, Worker(1)),
        Send(STOP, Worker(2)),
        Ask,
        Ask,
        Ask,
        Send(TERM, Primary),
        Send(CONT, Worker(2)),
        Send(CONT, Worker(1)),
    ],
];

/// To those that can be told how many workers there are to be.
const SCALE: [&[Act]; 6] = [
    &[Send(TTIN, Primary), Ask, Ask, Ask, Send(TTOU, Primary), Ask, Ask, Ask],
    &[Send(TTOU, Primary), Send(TTOU, Primary), Send(TTOU, Primary), Ask, Ask],
    &[Half, Send(TTOU, Primary), Ask, Rest(1), Ask],
    &[Keep, Send(TTOU, Primary), Again(1), Again(1)],
    &[Send(TTIN, Primary), Send(TTIN, Primary), Send(TERM, Primary), Ask],
    &[Half, Send(TTOU, Primary), Next, Ask],
];

/// To those that can reload.
const RELOAD: [&[Act]; 8] = [
    &[Send(HUP, Primary), Ask, Ask, Ask],
    &[Half, Keep, Send(HUP, Primary), Again(2), Rest(1), Ask],
    &[Keep, Send(HUP, Primary), Next, Again(1)],
    &[
        Second,
        Install("exit"),
        Send(HUP, Primary),
        Next,
        Ask,
        Ask,
        Install("v1"),
        Send(HUP, Primary),
        Ask,
    ],
    &[Install("nothing"), Send(HUP, Primary), Ask, Install("v1"), Send(HUP, Primary), Ask],
    &[Send(TTIN, Primary), Send(HUP, Primary), Ask, Send(TTOU, Primary), Ask],
    &[Half, Send(HUP, Primary), Send(TERM, Primary), Rest(1), Ask],
    &[Send(HUP, Primary), Send(HUP, Worker(3)), Send(HUP, Primary), Ask],
];

/// To those that know their visitors.
const VISITS: [&[Act]; 6] = [
    &[Visit("A"), Visit("A"), Visit("A"), Visit("A"), Visit("B"), Visit("B")],
    &[Stay("A"), Again(1), Again(1), Visit("A"), Visit("B")],
    &[Second, Visit("A"), Send(KILL, Worker(1)), Visit("A"), Visit("A"), Visit("A")],
    &[Visit("A"), Visit("B"), Send(HUP, Primary), Visit("A"), Visit("B"), Visit("A")],
    &[
        Visit("A"),
        Send(TTIN, Primary),
        Visit("A"),
        Visit("A"),
        Visit("A"),
        Send(TTOU, Primary),
        Visit("A"),
    ],
    &[Send(STOP, Worker(1)), Visit("A"), Visit("A"), Visit("A"), Send(CONT, Worker(1)), Visit("A")],
];

/// To the one that asks Redis.
const REDIS: [&[Act]; 4] = [
    &[
        Visit("A"),
        Turn("gone"),
        Visit("A"),
        Visit("A"),
        Visit("A"),
        Turn("up"),
        Visit("A"),
        Visit("A"),
    ],
    &[
        Visit("A"),
        Turn("refuses"),
        Visit("A"),
        Visit("A"),
        Send(HUP, Primary),
        Visit("A"),
        Turn("up"),
        Visit("A"),
    ],
    &[Second, Turn("refuses"), Send(KILL, Worker(1)), Next, Next, Next, Visit("A")],
    &[Turn("gone"), Send(KILL, Worker(1)), Visit("A"), Visit("A"), Turn("up"), Visit("A")],
];

/// For the same treatment both say the same, in this step and with all of these.
fn same(step: usize, treatments: &[&[&[Act]]]) {
    let browser = Browser::start();
    browser.open(&View::wide("en/06_handoff.html"));
    for acts in treatments.iter().flat_map(|list| list.iter()) {
        same_console(&browser, step, acts);
    }
}

macro_rules! steps {
    ($($name:ident $step:literal: [$($treatments:ident)*])*) => {$(
        #[test]
        #[ignore = "needs mdbook, chromium, chromedriver and redis-server"]
        fn $name() {
            same($step, &[$(&$treatments),*]);
        }
    )*};
}

steps! {
    for_the_same_treatment_it_says_what_step_05_says 5: [TREATMENTS]
    for_the_same_treatment_it_says_what_step_06_says 6: [TREATMENTS TURNS]
    for_the_same_treatment_it_says_what_step_07_says 7: [TREATMENTS TURNS YOUNG]
    for_the_same_treatment_it_says_what_step_08_says 8: [TREATMENTS TURNS YOUNG FINISH]
    for_the_same_treatment_it_says_what_step_09_says 9: [TREATMENTS TURNS FINISH]
    for_the_same_treatment_it_says_what_step_10_says 10: [TREATMENTS TURNS FINISH LET_IN]
    for_the_same_treatment_it_says_what_step_11_says 11: [TREATMENTS TURNS LET_IN SCALE]
    for_the_same_treatment_it_says_what_step_12_says 12: [TREATMENTS TURNS YOUNG SCALE RELOAD]
    for_the_same_treatment_it_says_what_step_13_says 13: [TREATMENTS TURNS RELOAD VISITS]
    for_the_same_treatment_it_says_what_step_14_says 14: [TREATMENTS TURNS VISITS REDIS]
}

const WORKERS: usize = 2;
const MAX_FAILURES: usize = 3;
/// Ten seconds and some more: what the programs wait for at most.
const LIMIT: Duration = Duration::from_secs(15);
/// The clock of the element and that of the program are no further apart.
const SOON: Duration = Duration::from_millis(500);

/// The page may be slower than the program, whose clock waits for nobody: then once more.
#[track_caller]
fn same_console(browser: &Browser, step: usize, acts: &[Act]) {
    const ATTEMPTS: usize = 5;
    let mut late = String::new();
    for _ in 0..ATTEMPTS {
        match Pair::start(browser, step).play(acts) {
            Ok(()) => return,
            Err(Difference { is_late: false, what }) => panic!("{what}"),
            Err(Difference { is_late: true, what }) => late = what,
        }
    }
    panic!("{ATTEMPTS} times the page was late: too busy a machine, or a difference. {late}");
}

struct Difference {
    what: String,
    is_late: bool,
}

/// A client of the real program.
struct Client {
    /// None once it is over for this client.
    stream: Option<TcpStream>,
    kind: &'static str,
    visitor: &'static str,
    answers: usize,
}

/// The element and the real program.
struct Pair<'a> {
    browser: &'a Browser,
    step: usize,
    real: Cluster,
    program: Installed,
    redis: Option<Redis>,
    clients: Vec<Client>,
    /// The cookies of the visitors.
    cookies: BTreeMap<&'static str, String>,
    /// The element's process ids, and the real ones that they stand for.
    names: BTreeMap<i64, i64>,
    /// Workers of both that have no partner yet.
    strangers: (Vec<i64>, Vec<i64>),
    born: Instant,
    seen: usize,
    story: String,
    is_late: bool,
}

impl Pair<'_> {
    fn start(browser: &Browser, number: usize) -> Pair<'_> {
        build();
        let name = PART_TWO[number - 5];
        let redis = (number == 14).then(Redis::start);
        let program = Installed::new(name);
        let mut command = program.command();
        command.env("WORKERS", WORKERS.to_string());
        command.env("MAX_FAILURES", MAX_FAILURES.to_string());
        if let Some(redis) = &redis {
            command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "2000");
        }
        let real = Cluster::spawn(command, Console::Read);
        let born = Instant::now();
        browser.js(ELEMENT, json!([number, WORKERS, MAX_FAILURES]));
        Pair {
            browser,
            step: number,
            real,
            program,
            redis,
            clients: Vec::new(),
            cookies: BTreeMap::new(),
            names: BTreeMap::new(),
            strangers: (Vec::new(), Vec::new()),
            born,
            seen: 0,
            story: "start".to_owned(),
            is_late: false,
        }
    }

    fn play(mut self, acts: &[Act]) -> Result<(), Difference> {
        self.compare()?;
        if self.step >= 6 {
            self.take_turns()?;
        }
        for act in acts {
            self.act(*act)?;
        }
        while self.state()["quiet"].as_f64().is_some_and(|ms| ms < 1_500.0) {
            self.act(Next)?;
        }
        let state = self.state();
        if state["status"].is_null() {
            let rest = self.real.end().lines;
            self.check(rest.is_empty(), || format!("the program went on: {rest:?}"))?;
        }
        let errors = json!(self.errors());
        self.check(errors == state["stderr"], || format!("errors: {errors}"))?;
        Ok(())
    }

    /// From 06 on they get connections in turn. Whose turn it is at first is chance: who was ready
    /// first. So the element's workers stand in line as the real ones do.
    fn take_turns(&mut self) -> Result<(), Difference> {
        self.come("half", "");
        let first = self.real_holder(1).expect("a worker takes it");
        let mut stream = self.clients.pop().unwrap().stream.expect("it is let in");
        let _ = stream.write_all(b"b");
        let answered = any_answer(&mut stream);
        self.check(answered.is_ok(), || format!("the first is answered: {answered:?}"))?;
        let (first, _) = self.names.iter().find(|(_, real)| **real == first).unwrap();
        self.browser.js(
            "const { line } = el.model.state; line.sort(pid => pid === arguments[0] ? 1 : -1)",
            json!([first]),
        );
        Ok(())
    }

    fn act(&mut self, act: Act) -> Result<(), Difference> {
        self.story += &format!(", {act:?}");
        let elapsed = self.born.elapsed();
        let state = self.shown(json!([]), elapsed);
        self.compare()?;
        if matches!(act, Second) {
            a_second();
        }
        let done = match act {
            Ask => self.come("once", ""),
            Half => self.come("half", ""),
            Keep => self.come("keep", ""),
            Visit(visitor) => self.come("once", visitor),
            Stay(visitor) => self.come("keep", visitor),
            Rest(id) => {
                if let Some(stream) = &mut self.clients[id - 1].stream {
                    let _ = stream.write_all(b"b");
                }
                json!(["rest", id])
            }
            Again(id) => {
                let Client { kind, visitor, .. } = self.clients[id - 1];
                if self.clients[id - 1].stream.is_some() {
                    let request = self.request(kind, visitor);
                    let stream = self.clients[id - 1].stream.as_mut().unwrap();
                    stream.write_all(&request).expect("the connection should be open");
                } else {
                    self.come(kind, visitor);
                }
                json!(["again", id])
            }
            Send(signal, who) => {
                let shown = match who {
                    Primary => state["primary"].as_i64().unwrap(),
                    Worker(number) => state["pids"][number - 1].as_i64().expect("a worker"),
                    Holder(client) => self.holder(&state, client)?,
                };
                let pid = Pid::from_raw(self.name(shown) as i32);
                let sent = self.real.try_send(signal as i32, pid);
                let lives = state["alive"].as_array().unwrap().contains(&json!(shown));
                self.check(sent.is_ok() == lives, || format!("{pid} lives in one of both"))?;
                // A stop is no news to a process, but to who looks at it.
                let stops = signal == STOP || ([TTIN, TTOU].contains(&signal) && self.step < 11);
                if stops {
                    until("a process should be stopped", || is_stopped(pid));
                }
                json!(["signal", signal.as_str().strip_prefix("SIG").unwrap(), shown])
            }
            Interrupt => {
                self.real.interrupt();
                json!(["interrupt"])
            }
            Install(program) => {
                match program {
                    "exit" => self.program.replace_by_script("exit 3"),
                    "nothing" => self.program.remove(),
                    _ => self
                        .program
                        .replace_by(step(PART_TWO[self.step - 5]).get_program().as_ref()),
                }
                json!(["install", program])
            }
            Turn(is) => {
                let redis = self.redis.as_mut().expect("step 14 has one");
                match is {
                    "gone" => redis.shut_down(),
                    "refuses" => redis.order("CONFIG SET min-replicas-to-write 1"),
                    _ if !redis.is_running() => redis.start_again(),
                    _ => redis.order("CONFIG SET min-replicas-to-write 0"),
                }
                json!(["turn", is])
            }
            Second | Next => json!([]),
        };
        let mut elapsed = self.born.elapsed();
        // Who acts while something is about to happen may have come before it or after it.
        let is_close = due(&state).is_some_and(|due| due < elapsed + SOON);
        self.is_late |= !matches!(act, Next | Second) && is_close;
        if matches!(act, Next)
            && let Some(quiet) = self.state()["quiet"].as_f64().filter(|ms| *ms < 11_000.0)
        {
            elapsed = Duration::from_millis(self.state()["now"].as_f64().unwrap() as u64)
                + Duration::from_secs_f64(quiet / 1_000.0 + 0.001);
        }
        self.shown(done, elapsed);
        self.compare()
    }

    /// A client connects and sends its request, or half of it.
    fn come(&mut self, kind: &'static str, visitor: &'static str) -> serde_json::Value {
        let request = self.request(kind, visitor);
        let stream = TcpStream::connect(("127.0.0.1", self.real.port.number)).ok();
        let stream = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(LIMIT)).expect("it is no zero");
            stream.write_all(&request).ok().map(|()| stream)
        });
        self.clients.push(Client { stream, kind, visitor, answers: 0 });
        json!(["ask", kind, visitor])
    }

    fn request(&self, kind: &str, visitor: &str) -> Vec<u8> {
        let (method, more, body) = match kind {
            "half" => ("POST", "Content-Length: 2\r\n", "a"),
            _ => ("GET", "", ""),
        };
        let cookie = self.cookies.get(visitor).map(|it| format!("Cookie: {it}\r\n"));
        let cookie = cookie.unwrap_or_default();
        format!("{method} / HTTP/1.1\r\nHost: localhost\r\n{more}{cookie}\r\n{body}").into_bytes()
    }

    /// Does that to the element, and has its time go on until then. Returns its state.
    fn shown(&self, act: serde_json::Value, elapsed: Duration) -> serde_json::Value {
        self.browser.js("return play(...arguments)", json!([act, elapsed.as_secs_f64() * 1_000.0]))
    }

    fn state(&self) -> serde_json::Value {
        self.browser.js("return state()", json!([]))
    }

    /// The element's id for the worker that holds this client's connection.
    fn holder(&mut self, state: &serde_json::Value, client: usize) -> Result<i64, Difference> {
        let shown = state["clients"][client - 1]["holder"].as_i64().unwrap();
        if let Some(real) = self.real_holder(client) {
            self.marry(shown, real)?;
        }
        Ok(shown)
    }

    /// The real worker that holds this client's connection, or comes to hold it.
    fn real_holder(&self, client: usize) -> Option<i64> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let holder = self.holder_now(client);
            if holder.is_some() || Instant::now() > deadline {
                return holder;
            }
        }
    }

    fn holder_now(&self, client: usize) -> Option<i64> {
        let stream = self.clients[client - 1].stream.as_ref()?;
        let ends = [self.real.port.number, stream.local_addr().ok()?.port()];
        let [here, there] = ends.map(|port| format!(":{port:04X}"));
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let mut rows = rows.filter(|row| row[1].ends_with(&here) && row[2].ends_with(&there));
        let socket = format!("socket:[{}]", rows.next()?[9]);
        let mut children = self.real.children().into_iter();
        children.find(|it| sockets(it.pid).contains(&socket)).map(|it| it.pid.as_raw().into())
    }

    /// These two are the same worker.
    fn marry(&mut self, shown: i64, real: i64) -> Result<(), Difference> {
        if let Some(known) = self.names.get(&shown) {
            let known = *known;
            let what =
                || format!("{real} does what {known} should, which is {shown} in the element");
            return self.check(known == real, what);
        }
        let is_free = self.strangers.1.contains(&real);
        self.check(is_free, || format!("{real} is the element's {shown}, and another as well"))?;
        self.strangers.0.retain(|it| *it != shown);
        self.strangers.1.retain(|it| *it != real);
        self.names.insert(shown, real);
        Ok(())
    }

    /// The real process id. Of those that nobody can tell apart it is any.
    fn name(&mut self, shown: i64) -> i64 {
        if shown == self.state()["primary"].as_i64().unwrap() {
            return self.real.primary.as_raw().into();
        }
        if !self.names.contains_key(&shown) {
            let real = self.strangers.1[0];
            let _ = self.marry(shown, real);
        }
        self.names[&shown]
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Difference> {
        if holds {
            return Ok(());
        }
        let shown = self.state();
        let elapsed = self.born.elapsed();
        let what = format!(
            "{}, after {}: {}\n--- the element, after {} ms\n{}\n--- the real program, after {} ms\n{}\n",
            PART_TWO[self.step - 5],
            self.story,
            what(),
            shown["now"],
            shown["console"].as_str().unwrap(),
            elapsed.as_millis(),
            self.real.console(),
        );
        // What was due by now has happened in the program alone.
        let is_late = self.is_late || due(&shown).is_some_and(|due| due < elapsed);
        Err(Difference { what, is_late })
    }

    /// What both have printed since, what their clients got, who lives, and how it ended.
    fn compare(&mut self) -> Result<(), Difference> {
        let state = self.state();
        self.compare_lines(&state)?;
        self.compare_clients(&state)?;
        for worker in state["workers"].as_array().unwrap() {
            let (pid, alive) = (worker[0].as_i64().unwrap(), worker[1].as_bool().unwrap());
            let Some(real) = self.names.get(&pid).map(|pid| Pid::from_raw(*pid as i32)) else {
                continue;
            };
            if alive && !is_imminent(&state) {
                self.check(!is_dead(real), || format!("{pid} lives, but {real} is dead"))?;
            } else if !alive {
                until("a worker should be dead, as in the element", || is_dead(real));
            }
        }
        if let Some(status) = state["status"].as_i64() {
            let ended = self.real.wait_for_end_within(LIMIT);
            let real = ended.status.code().unwrap_or_else(|| 128 + ended.status.signal().unwrap());
            let lines = ended.lines;
            self.check(lines.is_empty(), || format!("the program went on: {lines:?}"))?;
            self.check(i64::from(real) == status, || format!("ends with {status}, but {real}"))?;
        }
        Ok(())
    }

    fn compare_lines(&mut self, state: &serde_json::Value) -> Result<(), Difference> {
        let list = |name: &str| -> Vec<String> {
            let lines = state[name].as_array().unwrap().iter();
            lines.map(|line| line.as_str().unwrap().to_owned()).collect()
        };
        let (stdout, stderr) = (list("stdout"), list("stderr"));
        let new = stdout[self.seen..].to_vec();
        let real: Vec<String> = new.iter().map_while(|_| self.real.next_line(LIMIT)).collect();
        self.check(new.len() == real.len(), || {
            format!("it should print {new:?}, but it is {real:?}")
        })?;
        self.seen = stdout.len();
        let (new, real) = (told(&new), told(&real));
        self.check(new.others == real.others, || {
            format!("{:?}, but {:?}", new.others, real.others)
        })?;
        self.check(new.starts.len() == real.starts.len(), || "other starts".to_owned())?;
        self.strangers.0.extend(&new.starts);
        self.strangers.1.extend(&real.starts);
        if let ([shown], [real]) = (&self.strangers.0[..], &self.strangers.1[..]) {
            self.marry(*shown, *real)?;
        } else if self.step >= 6 {
            // They were started one after another, whenever they said so.
            let (mut shown, mut real) = (new.starts.clone(), real.starts.clone());
            shown.sort_unstable();
            real.sort_unstable();
            for (shown, real) in shown.iter().zip(&real) {
                self.marry(*shown, *real)?;
            }
        }
        // Who ends while others do, may be logged before them or after them.
        let known = |(pid, how): &(i64, String)| (self.names.get(pid).copied(), how.clone());
        let mut expected: Vec<_> = new.deaths.iter().map(known).collect();
        let names: BTreeSet<i64> = self.names.values().copied().collect();
        let named = |(pid, how): &(i64, String)| (names.get(pid).copied(), how.clone());
        let mut came: Vec<_> = real.deaths.iter().map(named).collect();
        expected.sort();
        came.sort();
        self.check(expected == came, || format!("deaths: {expected:?}, but {came:?}"))?;

        let deadline = Instant::now() + LIMIT;
        while self.errors().len() < stderr.len() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let came = self.errors();
        let count = stderr.len().min(came.len());
        self.check(stderr == came[..count], || format!("errors: {stderr:?}, but {came:?}"))?;
        Ok(())
    }

    /// What the program has said on stderr, as where its Redis has the port that the book shows.
    fn errors(&mut self) -> Vec<String> {
        let address = self.redis.as_ref().map_or("no Redis".to_owned(), Redis::address);
        let text = self.real.stderr();
        text.lines().map(|line| line.replace(&address, "127.0.0.1:6379")).collect()
    }

    fn compare_clients(&mut self, state: &serde_json::Value) -> Result<(), Difference> {
        let imminent = is_imminent(state);
        for (at, shown) in state["clients"].as_array().unwrap().iter().enumerate() {
            let number = at + 1;
            let answers = shown["answers"].as_array().unwrap();
            let result = shown["result"].as_str().unwrap();
            for answer in &answers[self.clients[at].answers..] {
                let stream = self.clients[at].stream.as_mut();
                let came = stream.ok_or("a refusal".to_owned()).and_then(any_answer);
                self.clients[at].answers += 1;
                let came = match came {
                    Ok(came) => came,
                    Err(why) => {
                        return self
                            .check(false, || format!("client {number} is answered, but {why}"));
                    }
                };
                let status = answer["status"].as_u64().unwrap() as u16;
                self.check(came.status() == Some(status), || format!("client {number}: {came}"))?;
                // Right before its worker is told to finish, an answer may be either.
                let (last, worker) = (answer["last"].as_bool().unwrap(), &answer["pid"]);
                let finishing = state["finishing"].as_array().unwrap().contains(worker);
                let same = came.is_the_last() == last || (!last && finishing);
                self.check(same, || format!("client {number}: {came:?}"))?;
                let visitor = self.clients[at].visitor;
                if let Some(count) = answer["count"].as_u64().filter(|_| !visitor.is_empty()) {
                    let worker = self.name(answer["pid"].as_i64().unwrap());
                    let page =
                        format!("<h1>Hello Cluster!</h1><p>{worker}번 워커, {count}번째 방문</p>");
                    self.check(came.body == page, || {
                        format!("client {number}: {page}, but {came}")
                    })?;
                    let cookie = came.head.split_once("\r\nset-cookie: ").expect("a cookie").1;
                    let cookie = cookie.split(';').next().unwrap().to_owned();
                    self.cookies.insert(visitor, cookie);
                }
            }
            let stream = &mut self.clients[at].stream;
            match result {
                "refused" => {
                    let refused = stream.is_none();
                    self.check(refused, || format!("client {number} is refused, but is let in"))?;
                }
                "lost" | "closed" if stream.is_some() => {
                    let end = stream.take().unwrap().read(&mut [0; 64]);
                    let ended = match &end {
                        Ok(length) => *length == 0,
                        Err(error) => error.kind() == ErrorKind::ConnectionReset,
                    };
                    self.check(ended, || format!("client {number} is {result}, but {end:?}"))?;
                }
                "" if !imminent => {
                    let waits = stream.as_ref().is_some_and(|stream| {
                        stream.set_nonblocking(true).expect("it is a socket");
                        let glance = stream.peek(&mut [0]);
                        stream.set_nonblocking(false).expect("it is a socket");
                        glance.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
                    });
                    self.check(waits, || format!("client {number} waits, but not really"))?;
                    // From 06 on their turns say who is who.
                    let holder = shown["holder"].as_i64();
                    if let (Some(holder), true) = (holder, self.step >= 6) {
                        let real = self.real_holder(number);
                        self.check(real.is_some(), || format!("nobody holds client {number}"))?;
                        self.marry(holder, real.unwrap())?;
                    }
                }
                "answered" => *stream = None,
                _ => {}
            }
        }
        Ok(())
    }
}

/// When the element does something next, if nobody does anything.
fn due(state: &serde_json::Value) -> Option<Duration> {
    let at = state["now"].as_f64().unwrap() + state["quiet"].as_f64()?;
    Some(Duration::from_secs_f64(at / 1_000.0))
}

/// Whether that may have happened in the program already.
fn is_imminent(state: &serde_json::Value) -> bool {
    state["quiet"].as_f64().is_some_and(|ms| ms < SOON.as_secs_f64() * 1_000.0)
}

struct Told {
    starts: Vec<i64>,
    deaths: Vec<(i64, String)>,
    others: Vec<String>,
}

/// What these lines say, sorted by kind.
fn told(lines: &[String]) -> Told {
    let (mut starts, mut deaths, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        let pid = |end: &str| line.strip_suffix(end).and_then(|pid| pid.parse::<i64>().ok());
        if let Some(pid) = pid("번 워커 실행") {
            starts.push(pid);
        } else if let Some(pid) = pid("번 워커가 종료되었습니다") {
            deaths.push((pid, lines.next().cloned().unwrap_or_default()));
        } else {
            others.push(line.split_once(": ").map_or(line.as_str(), |(text, _)| text).to_owned());
        }
    }
    Told { starts, deaths, others }
}

/// Puts an element of this step on the page: `el`, whose time goes by in `play` alone.
const ELEMENT: &str = "
    const [step, workers, failures] = arguments;
    document.querySelectorAll('cluster-live').forEach(it => it.remove());
    window.el = document.createElement('cluster-live');
    el.now = () => 0;
    el.setAttribute('step', step);
    el.setAttribute('workers', workers);
    el.setAttribute('failures', failures);
    document.querySelector('main').prepend(el);
    window.state = () => {
      const { model } = el, { state } = model, quiet = model.quiet();
      const lives = worker => model.lives(worker);
      const alive = [state.primary, ...state.workers].filter(lives).map(process => process.pid);
      return {
        alive, now: state.now, quiet: quiet === Infinity ? null : quiet, status: state.status ?? null,
        primary: state.primary.pid, pids: state.workers.map(worker => worker.pid),
        workers: state.workers.map(worker => [worker.pid, lives(worker)]),
        finishing: state.workers.filter(worker => worker.finishes).map(worker => worker.pid),
        clients: state.clients.map(it => ({ ...it, holder: it.where === 'worker' ? it.pid : null })),
        stdout: [...el.shadowRoot.querySelectorAll('pre .out')].map(it => it.textContent.trim()),
        stderr: [...el.shadowRoot.querySelectorAll('pre .error')].map(it => it.textContent.trim()),
        console: el.shadowRoot.querySelector('pre').textContent,
      };
    };
    window.play = (act, now) => {
      if (act.length) el.act(...act);
      el.model.pass(Math.max(0, now - el.model.state.now));
      el.show();
      return state();
    };";
