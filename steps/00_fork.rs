// ANCHOR: program
//! 00_fork: one worker for each CPU, and all of them answer on one port.

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{SIGCHLD, SIGPIPE, SigHandler::SigDfl, signal};
use nix::{errno::Errno, sys::wait::wait, unistd::fork};
use std::{env, io, net::TcpListener, panic, process, thread};
use tiny_http::{Header, Response, Server};

fn main() -> Result<()> {
    // ANCHOR: bind
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get().min(1_024), 1_024)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // ANCHOR_END: bind
    // ANCHOR: lifeline
    // A pipe that nobody writes into: it ends when the primary does, and the workers see that.
    let (lifeline, primary_end) = io::pipe()?;
    // ANCHOR_END: lifeline
    // ANCHOR: signals
    // Ignored, SIGPIPE would make `… | head -1` panic, and SIGCHLD would hide who has ended.
    // SAFETY: no handler is installed, both only get their defaults back.
    unsafe { signal(SIGPIPE, SigDfl).and(signal(SIGCHLD, SigDfl)) }?;
    // ANCHOR_END: signals

    // ANCHOR: fork
    println!("마스터 프로세스 아이디: {}", process::id());
    for _ in 0..workers {
        // SAFETY: the primary has only one thread, so nothing is lost in the child.
        if unsafe { fork() }.map_err(|error| anyhow!("fork: {error}"))?.is_child() {
            worker(listener, lifeline, primary_end);
        }
    }
    // ANCHOR_END: fork
    // ANCHOR: wait
    loop {
        match wait() {
            Err(Errno::ECHILD) => return Ok(()),
            // Somebody has ended; where a real-time signal did it, nix knows no name for it.
            Ok(_) | Err(Errno::EINVAL) => continue,
            // Without a handler no signal interrupts `wait`, so EINTR is none of these.
            other => return Err(anyhow!("wait: {other:?}")),
        }
    }
    // ANCHOR_END: wait
}

// ANCHOR: worker
/// The whole life of a worker: it never returns into the primary's code.
fn worker(listener: TcpListener, mut lifeline: io::PipeReader, primary_end: io::PipeWriter) -> ! {
    // While one process holds this end, the pipe does not end: only the primary may hold it.
    drop(primary_end);
    // This thread waits for the end of the pipe, and then ends the worker.
    thread::spawn(move || io::copy(&mut lifeline, &mut io::sink()).map(|_| process::exit(0)));
    // ANCHOR_END: worker
    // ANCHOR: panic
    // A panic in tiny_http's client.rs costs one thread of its pool, for a client who has gone. After
    // any other, such as the accepting thread's, this worker might answer nobody any more: it ends.
    panic::set_hook(Box::new(|info| {
        if info.location().is_none_or(|place| !place.file().ends_with("client.rs")) {
            eprintln!("{info}");
            process::exit(101);
        }
    }));
    // ANCHOR_END: panic

    // ANCHOR: serve
    let server = Server::from_listener(listener, None).expect("the listener is bound");
    println!("{}번 워커 실행", process::id());
    for request in server.incoming_requests() {
        let html = Header::from_bytes("Content-Type", "text/html;charset=utf-8").unwrap();
        let page = Response::from_string("<h1>Hello Node!</h1><p>Hello Cluster!</p>");
        let _ = request.respond(page.with_header(html));
    }
    process::exit(1)
    // ANCHOR_END: serve
}

// ANCHOR: setting
/// Reads `name` from the environment: a whole number up to `max`, or `default` if not set.
fn setting(name: &str, default: usize, max: usize) -> Result<usize> {
    let value = env::var_os(name).unwrap_or(default.to_string().into());
    let number = value.to_str().and_then(|s| s.parse().ok()).filter(|n| (1..=max).contains(n));
    number.with_context(|| format!("{name}={value:?}: not a whole number from 1 to {max}"))
}
// ANCHOR_END: setting
// ANCHOR_END: program
