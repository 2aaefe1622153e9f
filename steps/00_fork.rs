// ANCHOR: program
//! 00_fork: one worker for each CPU, and all of them answer on one port.

use anyhow::{Context, Result, anyhow};
use nix::{errno::Errno, sys::signal, sys::wait::wait, unistd::fork};
use std::{env, io, net::TcpListener, process, thread};
use tiny_http::{Header, Response, Server};

fn main() -> Result<()> {
    // ANCHOR: bind
    let port = setting("PORT", 8086, 65_535)?;
    let workers = setting("WORKERS", num_cpus::get(), 1_024)?;
    let listener = TcpListener::bind(("127.0.0.1", port as u16))
        .map_err(|error| anyhow!("PORT={port}: {error}"))?;
    // ANCHOR_END: bind
    // ANCHOR: prepare
    let (lifeline, primary_end) = io::pipe()?;
    // SAFETY: this installs no handler. It lets `… | head -1` end us without a panic.
    unsafe { signal::signal(signal::SIGPIPE, signal::SigHandler::SigDfl) }?;
    // ANCHOR_END: prepare

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
            _ => continue,
        }
    }
    // ANCHOR_END: wait
}

// ANCHOR: worker
/// The whole life of a worker: it never returns into the primary's code.
fn worker(listener: TcpListener, mut lifeline: io::PipeReader, primary_end: io::PipeWriter) -> ! {
    drop(primary_end);
    thread::spawn(move || {
        let _ = io::copy(&mut lifeline, &mut io::sink());
        process::exit(0);
    });
    // ANCHOR_END: worker

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
