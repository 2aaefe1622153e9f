// ANCHOR: program
//! 04_errors: what was foreseen gets an answer; only what was not ends a worker.

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::{SIGCHLD, SIGPIPE, SigHandler::SigDfl, signal};
use nix::sys::wait::WaitStatus::{Exited, Signaled};
use nix::{errno::Errno, sys::wait::wait, unistd::fork};
use std::{env, io, net::TcpListener, panic, process, thread};
use tiny_http::{Header, Response, Server};

fn main() -> Result<()> {
    // ANCHOR: bind
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // ANCHOR_END: bind
    // ANCHOR: lifeline
    // A pipe that nobody writes into: it ends when the primary does, and the workers see that.
    let (lifeline, primary_end) = io::pipe()?;
    // ANCHOR_END: lifeline
    // ANCHOR: sigchld
    // If SIGCHLD is ignored, `wait` cannot tell how anybody ended, and the program that started
    // this one may have ignored it.
    // SAFETY: no handler is installed, the signal only gets its default back.
    unsafe { signal(SIGCHLD, SigDfl) }?;
    // ANCHOR_END: sigchld
    // ANCHOR: sigpipe
    // Rust ignores SIGPIPE from the start, and then `… | head -1` makes `println!` panic.
    // SAFETY: as above.
    unsafe { signal(SIGPIPE, SigDfl) }?;
    // ANCHOR_END: sigpipe

    // ANCHOR: fork
    println!("마스터 프로세스 아이디: {}", process::id());
    for _ in 0..workers {
        // SAFETY: the primary has only one thread, so nothing is lost in the child.
        let forked = unsafe { fork() }.map_err(|error| anyhow!("fork: {error}"))?;
        if forked.is_child() {
            worker(listener, lifeline, primary_end);
        }
    }
    // ANCHOR_END: fork
    // ANCHOR: wait
    loop {
        let (pid, how) = match wait() {
            Ok(Exited(pid, code)) => (pid.to_string(), format!("code {code} signal null")),
            Ok(Signaled(pid, signal, _)) => (pid.to_string(), format!("code null signal {signal}")),
            // A real-time signal: nix has no name for it, and gives no id.
            Err(Errno::EINVAL) => ("?".to_string(), "code null signal SIGRT".to_string()),
            Err(Errno::ECHILD) => return Ok(()),
            // Without a handler no signal interrupts `wait`, so EINTR is none of these.
            other => return Err(anyhow!("wait: {other:?}")),
        };
        // Both lines in one write, so that no worker's line lands between them.
        let death = format!("{pid}번 워커가 종료되었습니다\n{how}\n");
        print!("{death}");
        // SAFETY: the primary still has only one thread.
        let forked = unsafe { fork() }.map_err(|error| anyhow!("fork: {error}"))?;
        if forked.is_child() {
            worker(listener, lifeline, primary_end);
        }
    }
    // ANCHOR_END: wait
}

// ANCHOR: worker
/// The whole life of a worker: it never returns into the primary's code.
fn worker(listener: TcpListener, lifeline: io::PipeReader, primary_end: io::PipeWriter) -> ! {
    // While one process holds this end, the pipe does not end: only the primary may hold it.
    drop(primary_end);
    // This thread reads to the end of the pipe, and then ends the worker.
    thread::spawn(|| io::read_to_string(lifeline).map(|_| process::exit(0)));
    // ANCHOR_END: worker
    // ANCHOR: panic
    // A panic ends one thread. After most, this worker could answer nobody any more: so it ends.
    panic::set_hook(Box::new(|info| {
        let file = info.location().map_or("", |place| place.file());
        // In tiny_http's client.rs, only the thread of one client is lost, and that client has gone.
        if file.ends_with("client.rs") {
            return;
        }
        eprintln!("{info}");
        process::exit(101);
    }));
    // ANCHOR_END: panic

    // ANCHOR: serve
    let server = Server::from_listener(listener, None).expect("the listener is bound");
    println!("{}번 워커 실행", process::id());
    let lines = ["<h1>Hello Node!</h1>", "<p>Hello Cluster!</p>"];
    for request in server.incoming_requests() {
        let html = Header::from_bytes("Content-Type", "text/html;charset=utf-8").unwrap();
        let path = request.url().trim_start_matches('/');
        let (status, page) = match path.parse::<usize>() {
            _ if path.is_empty() => (200, lines.concat()),
            Ok(line) => (200, lines[line - 1].to_string()),
            Err(_) => (400, "<h1>Bad Request</h1><p>Ask for line 1 or 2.</p>".to_string()),
        };
        let page = Response::from_string(page).with_status_code(status);
        let _ = request.respond(page.with_header(html));
    }
    process::exit(1)
    // ANCHOR_END: serve
}

// ANCHOR: setting
/// Reads `name` from the environment: a whole number up to `max`, or `default` if not set.
fn setting(name: &str, default: usize, max: usize) -> Result<usize> {
    let Some(value) = env::var_os(name) else { return Ok(default) };
    let number = value.to_string_lossy().parse().unwrap_or(0);
    ensure!((1..=max).contains(&number), "{name}={value:?}: not a whole number from 1 to {max}");
    Ok(number)
}
// ANCHOR_END: setting
// ANCHOR_END: program
