//! A server to compare step 05 with: the same page from the same axum, but each worker accepts by
//! itself from the one listening socket, as in 00. What lies between the two is the handing over.
//!
//! It is this program once more, so that it needs no binary of its own beside the steps.

use std::io::{self, Error};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, Command};
use std::{env, thread};

use axum::{Router, http::header::CONTENT_TYPE};
use support::PAGE;

/// What is set where this program is to be that server: to its primary, or to one of its workers.
const ROLE: &str = "MEASURE_ACCEPTING";

/// The command that starts it, with `PORT` and `WORKERS` workers as the steps have them.
pub fn command() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, "primary");
    Ok(command)
}

/// Runs it, and does not return, where this program was started for that.
pub fn run_if_told() {
    let done = match env::var(ROLE).as_deref() {
        Err(_) => return,
        Ok("worker") => worker(),
        Ok(_) => primary(),
    };
    if let Err(error) = done {
        eprintln!("Error: {error}");
    }
    process::exit(1);
}

fn primary() -> io::Result<()> {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse().ok());
    let wanted = number("PORT").zip(number("WORKERS"));
    let (port, workers): (u16, u16) = wanted.ok_or(Error::other("PORT and WORKERS are needed"))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    for _ in 0..workers {
        let mut worker = Command::new(env::current_exe()?);
        worker.env(ROLE, "worker").stdin(OwnedFd::from(listener.try_clone()?)).spawn()?;
    }
    // It leads the group that the one who measures ends as a whole.
    loop {
        thread::park();
    }
}

fn worker() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        println!("{}번 워커 실행", process::id());
        let html = [(CONTENT_TYPE, "text/html;charset=utf-8")];
        axum::serve(listener, Router::new().fallback(async move || (html, PAGE))).await
    })
}
