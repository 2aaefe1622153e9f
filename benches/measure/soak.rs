//! A soak: 12 under load for a long time, with a reload a second and workers that are killed. Its
//! clients know when they asked, so each request that is lost can be held against the kills.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use support::{PAGE, Signal, descriptors};

use crate::parts::megabytes;
use crate::servers::Subject;

const WORKERS: usize = 2;

/// As many ask over a connection that they keep as do over a new one each time.
const CLIENTS: usize = 8;

/// What the clients see.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    answered: AtomicU64,
    /// When a request that was lost was sent, when that was seen, and how.
    lost: Mutex<Vec<(Instant, Instant, String)>>,
}

pub fn run(minutes: f64) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let (server, _) = Subject::named("12_reload").start_and_wait(WORKERS)?;
    let (seen, port) = (Seen::default(), server.port.number);
    let bar = ProgressBar::new((minutes * 60.0) as u64);
    let style = ProgressStyle::with_template("soak {bar:24} {percent:>3} %  {elapsed}  {wide_msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    println!(
        "{WORKERS} workers, {CLIENTS} clients that keep their connection and {CLIENTS} that do not"
    );
    println!(
        "| time | requests | reloads | kills | lost | lost without a kill | descriptors | primary, MB | workers, MB |"
    );
    println!("| --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    thread::scope(|scope| {
        for client in 0..2 * CLIENTS {
            let seen = &seen;
            scope.spawn(move || ask_on(port, client < CLIENTS, seen));
        }
        let (begun, mut kills, mut reloads) = (Instant::now(), Vec::new(), 0_u64);
        let (mut next_kill, mut next_line) = (kill_after(begun), begun);
        let mut result = Ok(0);
        while result.is_ok() && Instant::now() < end {
            let second = Instant::now();
            result = server.reload().map(|()| 0);
            reloads += 1;
            while second.elapsed() < Duration::from_secs(1) {
                if Instant::now() > next_kill {
                    next_kill = kill_after(Instant::now());
                    let workers = server.children();
                    if let Some(worker) = fastrand::choice(&workers)
                        && server.kill(*worker, Signal::SIGKILL).is_ok()
                    {
                        kills.push(Instant::now());
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
            bar.set_position(begun.elapsed().as_secs());
            if Instant::now() >= next_line || Instant::now() >= end {
                next_line += Duration::from_secs_f64((minutes * 60.0 / 15.0).max(5.0));
                let lost = seen.lost.lock().unwrap_or_else(PoisonError::into_inner);
                let without = lost.iter().filter(|lost| !is_by_a_kill(lost, &kills)).count();
                let memory =
                    |pid| megabytes(pid).map_or("–".to_owned(), |all| format!("{all:.1}"));
                let workers: f64 = server.children().into_iter().filter_map(megabytes).sum();
                let line = format!(
                    "| {:.0} s | {} | {reloads} | {} | {} | {without} | {} | {} | {workers:.1} |",
                    begun.elapsed().as_secs_f64(),
                    seen.answered.load(Ordering::Relaxed),
                    kills.len(),
                    lost.len(),
                    descriptors(server.primary()).len(),
                    memory(server.primary()),
                );
                bar.suspend(|| println!("{line}"));
                result = result.map(|_| without);
            }
        }
        seen.over.store(true, Ordering::Relaxed);
        bar.finish_and_clear();
        let lost = seen.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for (asked, lost, how) in lost.iter().filter(|lost| !is_by_a_kill(lost, &kills)).take(20) {
            let [asked, lost] = [asked, lost].map(|time| time.duration_since(begun).as_secs_f64());
            println!("asked at {asked:.3} s, lost at {lost:.3} s, and no worker was killed: {how}");
        }
        match result? {
            0 => Ok(()),
            count => Err(format!("{count} requests were lost where no worker was killed")),
        }
    })
}

/// Every ten seconds or so.
fn kill_after(now: Instant) -> Instant {
    now + Duration::from_millis(fastrand::u64(5_000..15_000))
}

/// Whether a worker was killed while this request waited for its answer.
fn is_by_a_kill((asked, lost, _): &(Instant, Instant, String), kills: &[Instant]) -> bool {
    // The kill is noted after it was sent, and the client may have seen it before that.
    let slack = Duration::from_millis(50);
    kills.iter().any(|kill| *asked <= *kill + slack && *kill <= *lost + slack)
}

/// Asks again and again until all is over.
fn ask_on(port: u16, keep: bool, seen: &Seen) {
    let mut connection = None;
    while !seen.over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match ask(port, keep, &mut connection) {
            Ok(()) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                connection = None;
                let kind = if keep { "kept" } else { "new" };
                let lost = (asked, Instant::now(), format!("{error} on a {kind} connection"));
                seen.lost.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
            }
        }
    }
}

/// Asks once. The connection is kept where both sides want that.
fn ask(port: u16, keep: bool, kept: &mut Option<TcpStream>) -> io::Result<()> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => TcpStream::connect(("127.0.0.1", port))?,
    };
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(30)))?;
    let header = if keep { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {header}\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(PAGE.as_bytes()) {
        match connection.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if keep && !head.contains("connection: close") {
        *kept = Some(connection);
    }
    Ok(())
}
