//! Clients that ask all the time, while a test does something to their cluster.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{Cluster, REQUEST, answer, assert_nothing, connect, is_dead, until};

const ONE_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// From this age on a connection without a request may be closed by a worker that finishes: half of
/// the second that it waits.
const IDLE: Duration = Duration::from_millis(500);

/// How much of it a test under load should do, as the environment variable `name` says: 0 where it does
/// not. Panics where that is no number.
pub fn at_least(name: &str) -> usize {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")),
        Err(_) => 0,
    }
}

/// What becomes of all that the clients ask.
#[derive(Default)]
pub struct Load {
    end: AtomicBool,
    /// How many requests were answered on connections that were kept.
    pub kept: AtomicUsize,
    /// How many were answered on a connection of their own.
    pub single: AtomicUsize,
    lost: Mutex<Vec<Lost>>,
    /// How long the slowest of those that were answered took.
    longest: Mutex<Duration>,
    /// When workers were sent a signal by [`Load::kill`], and when they were dead.
    kills: Mutex<Vec<(Instant, Instant)>>,
}

/// A request that was not answered whole.
struct Lost {
    asked: Instant,
    end: Instant,
    instead: String,
}

impl Load {
    /// Runs `story` while this many clients ask: so many over a connection for as long as they may
    /// keep it, and so many over a new one each time. However the story ends, they end too.
    pub fn during<R>(
        &self,
        port: u16,
        (kept, single): (usize, usize),
        story: impl FnOnce() -> R,
    ) -> R {
        thread::scope(|scope| {
            for _ in 0..kept {
                scope.spawn(|| self.keep_a_connection(port));
            }
            for _ in 0..single {
                scope.spawn(|| self.take_one_each(port));
            }
            let _end = SetOnDrop(&self.end);
            story()
        })
    }

    /// Waits until some more of every kind that asks are answered.
    pub fn is_answered(&self, (kept, single): (usize, usize)) {
        let answered = || [&self.kept, &self.single].map(|count| count.load(Ordering::Relaxed));
        let before = answered();
        let more = [kept, single].map(|clients| if clients == 0 { 0 } else { 20 });
        until("clients of every kind should be answered", || {
            answered().iter().zip(before).zip(more).all(|((now, was), more)| *now >= was + more)
        });
    }

    /// Sends a worker a signal that ends it, and waits until it is dead.
    pub fn kill(&self, cluster: &Cluster, worker: Pid, signal: Signal) {
        let sent = Instant::now();
        cluster.send(signal, worker);
        until("a worker that was sent a signal should be dead", || is_dead(worker));
        self.kills.lock().unwrap().push((sent, Instant::now()));
    }

    /// How long the slowest of those that were answered took.
    pub fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    /// What came in place of each answer that did not come.
    pub fn lost(&self) -> Vec<String> {
        self.lost.lock().unwrap().iter().map(|lost| lost.instead.clone()).collect()
    }

    /// More than so many requests should have been answered, and each other one may only have been
    /// lost while a worker was killed.
    #[track_caller]
    pub fn assert_lost_to_kills_alone(self, least: usize) {
        let answered = self.kept.into_inner() + self.single.into_inner();
        assert!(answered > least, "the clients should have asked all the time, but {answered} did");
        let kills = self.kills.into_inner().unwrap();
        let is_of_a_kill =
            |lost: &Lost| kills.iter().any(|(sent, dead)| lost.asked < *dead && *sent < lost.end);
        let lost = self.lost.into_inner().unwrap();
        let lost = lost.iter().filter(|lost| !is_of_a_kill(lost)).map(|lost| &lost.instead);
        let killed = kills.len();
        assert_nothing(
            lost,
            &format!(
                "{answered} requests were answered while {killed} workers were killed, and no \
                 request should be lost but by that"
            ),
        );
    }

    /// As a client should, RFC 9112, 9.6: it asks no more on a connection once it is told of its end.
    fn keep_a_connection(&self, port: u16) {
        let mut connection = None;
        while !self.end.load(Ordering::Relaxed) {
            let (mut client, answered) =
                connection.take().unwrap_or_else(|| (connect(port), Instant::now()));
            // A machine that is too busy to run this client makes it one that keeps an idle
            // connection: it may find it closed, and a new one has to do.
            let asked = Instant::now();
            let was_idle = asked - answered > IDLE;
            let _ = client.write_all(REQUEST);
            match answer(&mut client) {
                Ok(answer) => {
                    self.is_answered_to(&self.kept, asked);
                    if answer.is_the_last() {
                        self.nothing_more_comes(&mut client, asked);
                    } else {
                        connection = Some((client, Instant::now()));
                    }
                }
                Err(_) if was_idle => {}
                Err(instead) => self.is_lost(asked, format!("on one that was kept: {instead}")),
            }
        }
    }

    fn take_one_each(&self, port: u16) {
        while !self.end.load(Ordering::Relaxed) {
            let asked = Instant::now();
            // The primary listens all the time: nobody is refused.
            let mut client = connect(port);
            let sent = client.write_all(ONE_REQUEST);
            match answer(&mut client) {
                Ok(_) => {
                    self.is_answered_to(&self.single, asked);
                    self.nothing_more_comes(&mut client, asked);
                }
                Err(instead) => {
                    self.is_lost(asked, format!("on one of its own: {instead}, sent: {sent:?}"));
                }
            }
        }
    }

    fn is_answered_to(&self, count: &AtomicUsize, asked: Instant) {
        count.fetch_add(1, Ordering::Relaxed);
        let mut longest = self.longest.lock().unwrap();
        *longest = longest.max(asked.elapsed());
    }

    fn nothing_more_comes(&self, client: &mut TcpStream, asked: Instant) {
        let end = client.read(&mut [0]);
        if !matches!(end, Ok(0)) {
            self.is_lost(asked, format!("after the last answer: {end:?}"));
        }
    }

    fn is_lost(&self, asked: Instant, instead: String) {
        self.lost.lock().unwrap().push(Lost { asked, end: Instant::now(), instead });
    }
}

/// Sets it once this goes, be it because a test fails: whoever looks at it ends then.
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
