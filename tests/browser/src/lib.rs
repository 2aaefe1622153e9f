//! The built book in a real browser: `mdbook` builds it once per test process, a thread serves it on
//! loopback, and every [`Browser`] is a chromedriver and a Chromium of its own, on free ports.
//!
//! The browser ends with its `Browser`, also when the test panics; and when the test process itself
//! is killed, a shell that waits for the end of its stdin ends it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::json;
pub use serde_json::{self, Value};
use thirtyfour::prelude::*;

/// How long a promise may take to come true. Only a broken one takes that long.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub const THEMES: [&str; 5] = ["light", "rust", "coal", "navy", "ayu"];
pub const LANGUAGES: [&str; 2] = ["ko", "en"];

/// The steps of part two.
pub const PART_TWO: [&str; 10] = [
    "05_loop",
    "06_handoff",
    "07_patience",
    "08_finish",
    "09_keepalive",
    "10_backlog",
    "11_scale",
    "12_reload",
    "13_session",
    "14_redis",
];

/// The project: the folder of `book.toml`.
pub fn project() -> &'static Path {
    static PROJECT: OnceLock<PathBuf> = OnceLock::new();
    PROJECT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).expect("the project is two folders up").to_owned()
    })
}

/// The built book, served on loopback for as long as the test process lives.
pub struct Book {
    /// `http://127.0.0.1:PORT/`, and for [`published`] the path of the project behind it.
    pub root: String,
    pub folder: PathBuf,
    /// Every page that SUMMARY.md names, as it is called in the built book: `ko/00_fork.html`.
    pub pages: Vec<String>,
}

/// The book as `mdbook build` makes it, at the root of its server.
pub fn book() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    BOOK.get_or_init(|| build("book", "/", &[]))
}

/// The book as .github/workflows/check.yml publishes it, below a path of its own.
pub fn published() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    let path = "/a/path/of/its/own/";
    BOOK.get_or_init(|| {
        let book = build("published", path, &[("MDBOOK_OUTPUT__HTML__SITE_URL", path)]);
        let script = Command::new("node")
            .arg(".github/publish.mjs")
            .args([book.folder.as_os_str(), book.root.as_ref()])
            .current_dir(project())
            .output()
            .unwrap_or_else(|error| panic!("node: {error}"));
        let said = String::from_utf8_lossy(&script.stderr);
        assert!(script.status.success(), ".github/publish.mjs failed:\n{said}");
        book
    })
}

fn build(name: &str, path: &'static str, environment: &[(&str, &str)]) -> Book {
    let folder = scratch(name);
    let version = include_str!("../../../.ci/mdbook-version").trim();
    let built = Command::new("mdbook")
        .args(["build", "--dest-dir"])
        .arg(&folder)
        .envs(environment.iter().copied())
        .current_dir(project())
        .output()
        .unwrap_or_else(|error| panic!("mdbook: {error} (cargo install mdbook@{version})"));
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "mdbook could not build the book:\n{said}");

    let summary = fs::read_to_string(project().join("book/SUMMARY.md")).unwrap();
    let pages = summary
        .lines()
        .filter_map(|line| line.split_once("](")?.1.split_once(".md)"))
        .map(|(page, _)| format!("{page}.html"))
        .collect();

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let root = format!("http://{}{path}", listener.local_addr().unwrap());
    let served = folder.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = served.clone();
            // A browser that went away is not the server's business.
            std::thread::spawn(move || answer(stream, &served, path));
        }
    });
    Book { root, folder, pages }
}

/// One request a connection, a thread each: an idle connection of the browser holds nothing up.
/// `root` is the path below which the folder is served. What is not there gets the book's 404 page.
fn answer(mut stream: TcpStream, folder: &Path, root: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    // The headers; else closing would reset the connection under the answer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // Outside the root there is nothing, not even the page that says so.
    let path = path.strip_prefix(root).unwrap_or("..");
    let path = if path.is_empty() { "index.html" } else { path };
    let kind = match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => "text/html; charset=utf-8",
    };
    // The blank page names no icon, so Chromium asks for this one.
    let blank = path == BLANK || path == "favicon.ico";
    let (status, body) = match fs::read(folder.join(path)) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ if blank => ("200 OK", Vec::new()),
        _ if path.contains("..") => ("404 Not Found", b"not found".to_vec()),
        _ => ("404 Not Found", fs::read(folder.join("404.html"))?),
    };
    let length = body.len();
    // The book does not change while a browser is there: its scripts, styles and fonts need not be
    // asked for on every page.
    let cache = if kind.starts_with("text/html") { "" } else { "Cache-Control: max-age=3600\r\n" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{cache}Connection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

/// An empty page of the book's own origin: storage can be set there before a page is opened.
const BLANK: &str = "blank-page-of-the-tests";

/// A new folder below target/. Folders that earlier test processes left behind are removed.
fn scratch(what: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let all = project().join("target/browser-tests");
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        let gone = |pid: u32| {
            Command::new("kill")
                .args(["-0", &pid.to_string()])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| !status.success())
        };
        if owner.is_some_and(gone) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = all.join(format!("{}-{what}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder below target/");
    folder
}

/// How a page is looked at. `View { theme: "navy", ..View::wide("ko/00_fork.html") }`
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The page below the book's root, with `?query` and `#fragment` if wanted; "" is the bare root.
    pub page: &'a str,
    pub width: u32,
    pub height: u32,
    /// One of [`THEMES`].
    pub theme: &'a str,
    /// What the browser says its reader reads: the header `Accept-Language` and `navigator.languages`.
    pub reads: &'a str,
    pub javascript: bool,
    pub reduced_motion: bool,
    /// More of localStorage, which is otherwise empty but for the theme.
    pub stored: &'a [(&'a str, &'a str)],
}

impl<'a> View<'a> {
    pub fn wide(page: &'a str) -> Self {
        View {
            page,
            width: 1280,
            height: 900,
            theme: "light",
            reads: "en-US",
            javascript: true,
            reduced_motion: true,
            stored: &[],
        }
    }

    pub fn phone(page: &'a str) -> Self {
        View { width: 390, height: 844, ..View::wide(page) }
    }
}

pub struct Browser {
    runtime: tokio::runtime::Runtime,
    driver: WebDriver,
    supervisor: Child,
    profile: PathBuf,
    _turn: Turn,
}

/// Browsers of several tests run side by side, but for one that measures time.
#[expect(dead_code, reason = "a turn ends when it is dropped")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

static TURNS: RwLock<()> = RwLock::new(());

/// Starts chromedriver in the shell's process group, and ends the group at the end of stdin: when
/// the `Browser` is dropped, or when the test process is gone, however it went.
const SUPERVISOR: &str = r#"chromedriver --port=0 </dev/null & read -r line; kill -KILL 0"#;

impl Browser {
    /// One a test.
    pub fn start() -> Browser {
        Browser::in_turn(Turn::Shared(TURNS.read().unwrap_or_else(|broken| broken.into_inner())))
    }

    /// While no other test of this process has a browser.
    pub fn alone() -> Browser {
        Browser::in_turn(Turn::Alone(TURNS.write().unwrap_or_else(|broken| broken.into_inner())))
    }

    fn in_turn(turn: Turn) -> Browser {
        use std::os::unix::process::CommandExt;

        book();
        let profile = scratch("profile");
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .env("TMPDIR", &profile)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut lines = BufReader::new(supervisor.stdout.take().unwrap());
        let mut said = String::new();
        let port = loop {
            let start = said.len();
            if lines.read_line(&mut said).unwrap_or(0) == 0 {
                let _ = supervisor.kill();
                panic!("chromedriver did not start (apt-get install chromium-driver): {said}");
            }
            if let Some((_, port)) = said[start..].split_once("successfully on port ") {
                break port.trim().trim_end_matches('.').to_owned();
            }
        };
        // Keeps the pipe from filling up.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));

        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut chrome = DesiredCapabilities::chrome();
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            &format!("--user-data-dir={}", profile.join("chromium").display()),
        ] {
            chrome.add_arg(argument).unwrap();
        }
        chrome.set("goog:loggingPrefs", json!({ "browser": "SEVERE" })).unwrap();
        // chromedriver is on this machine: no proxy there, whatever the environment says.
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), chrome).client(client);
        let driver = runtime.block_on(driver.connect());
        let driver = driver.unwrap_or_else(|error| {
            supervisor.stdin.take();
            let _ = supervisor.wait();
            panic!("chromium did not start (apt-get install chromium): {error}")
        });
        // The supervisor ends the browser, so that a panic does not wait for an answer from it.
        driver.clone().leak().expect("a new session");
        Browser { runtime, driver, supervisor, profile, _turn: turn }
    }

    /// Opens a page in a fresh state: storage holds the theme and `view.stored`, nothing else.
    pub fn open(&self, view: &View) {
        self.set_window(view.width, view.height);
        let agent = self.js("return navigator.userAgent", json!([]));
        self.cdp(
            "Emulation.setUserAgentOverride",
            json!({ "userAgent": agent, "acceptLanguage": view.reads }),
        );
        let motion = if view.reduced_motion { "reduce" } else { "no-preference" };
        self.cdp(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-reduced-motion", "value": motion }] }),
        );
        self.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": !view.javascript }));
        // To another fragment of the page that is open the browser would not load it again.
        if view.page.contains('#') {
            self.goto(BLANK);
        }
        // Before any script of the page, so that no other page has to be loaded to do it. Without
        // JavaScript it does not run, nor does anything that asks for what is stored.
        let mut stored = BTreeMap::from([("mdbook-theme", view.theme)]);
        stored.extend(view.stored.iter().copied());
        let source = format!(
            "if (window === top) {{
               localStorage.clear(); sessionStorage.clear();
               for (const [key, value] of Object.entries({})) localStorage.setItem(key, value);
             }}",
            json!(stored)
        );
        let first = self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
        self.goto(view.page);
        self.cdp("Page.removeScriptToEvaluateOnNewDocument", first);
        // They come late, and move what a pointer is to hit.
        self.until("the fonts are loaded", "document.fonts.status === 'loaded'");
    }

    fn set_window(&self, width: u32, height: u32) {
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Gives the window of the page that is open another size, without loading the page again.
    /// mdBook shows or hides its sidebar as it loads a page, by whether there are 1080 pixels:
    /// across that width a page is another one when it is loaded.
    pub fn resize(&self, width: u32, height: u32) {
        self.set_window(width, height);
        self.until(
            &format!("the window is {width} × {height} pixels"),
            &format!("innerWidth === {width} && innerHeight === {height}"),
        );
        // The observers of the page hear of it in the frame that lays it out.
        self.js(
            "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))",
            json!([]),
        );
        self.end_transitions();
    }

    /// Puts another theme on the page that is open, as its theme menu does.
    pub fn choose_theme(&self, theme: &str) {
        // A click by script, for which the menu need not be open; none on what is chosen already.
        self.js(
            "document.getElementById('mdbook-theme-' + arguments[0]).click(); return null",
            json!([theme]),
        );
        // The colours of code are in a style sheet a theme, which is loaded anew.
        self.until(
            &format!("the theme {theme} is put on"),
            &format!(
                "document.documentElement.matches('.{theme}')
                   && [...document.querySelectorAll('link[rel=stylesheet]')].every(link => link.disabled || link.sheet)"
            ),
        );
        self.end_transitions();
    }

    /// What is on its way to another colour or place is there.
    fn end_transitions(&self) {
        self.js(
            "for (const it of document.getAnimations()) if (it instanceof CSSTransition) it.finish();
             return null",
            json!([]),
        );
    }

    /// Goes to a page of the book as a link would: what is stored stays.
    pub fn goto(&self, page: &str) {
        self.visit(&format!("{}{page}", book().root));
    }

    /// Goes to any address.
    pub fn visit(&self, url: &str) {
        self.wait_for(&format!("open {url}"), self.driver.goto(url));
    }

    /// Runs the body of a function in the page; `arguments` holds the members of `arguments`.
    pub fn js(&self, body: &str, arguments: Value) -> Value {
        let arguments = arguments.as_array().cloned().unwrap_or_default();
        self.wait_for(body, async {
            Ok(self.driver.execute(body, arguments).await?.json().clone())
        })
    }

    /// The text that an expression in the page gives.
    pub fn text(&self, expression: &str) -> String {
        match self.js(&format!("return ({expression})"), json!([])) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    pub fn number(&self, expression: &str) -> f64 {
        let value = self.js(&format!("return ({expression})"), json!([]));
        value.as_f64().unwrap_or_else(|| panic!("`{expression}` is {value}, no number"))
    }

    pub fn holds(&self, expression: &str) -> bool {
        self.js(&format!("return Boolean({expression})"), json!([])) == json!(true)
    }

    /// Asks until the expression is true. `promise` is what the failure says.
    #[track_caller]
    pub fn until(&self, promise: &str, expression: &str) {
        if let Err(value) = self.comes_true(expression) {
            panic!("{promise}\n  on {}\n  still {value}: {expression}", self.address());
        }
    }

    fn comes_true(&self, expression: &str) -> Result<(), Value> {
        let deadline = Instant::now() + PATIENCE;
        // Between two pages there may be nobody to ask.
        let ask = format!(
            "try {{ const it = ({expression}); return it ? true : String(it) }} catch (e) {{ return String(e) }}"
        );
        loop {
            let value = self.runtime.block_on(async {
                let answer = self.driver.execute(ask.as_str(), Vec::new());
                match tokio::time::timeout(PATIENCE, answer).await {
                    Ok(Ok(value)) => value.json().clone(),
                    Ok(Err(error)) => json!(error.to_string()),
                    Err(_) => json!("without an answer from the browser"),
                }
            });
            if value == json!(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(value);
            }
            std::thread::yield_now();
        }
    }

    /// Where the browser is, below the book's root: `ko/00_fork.html?highlight=x#run`.
    pub fn address(&self) -> String {
        let url = self.wait_for("ask for the address", self.driver.current_url());
        url.as_str().trim_start_matches(book().root.as_str()).to_owned()
    }

    #[track_caller]
    pub fn until_address(&self, promise: &str, address: &str) {
        let here = format!("location.href === {}", json!(format!("{}{address}", book().root)));
        if self.comes_true(&here).is_err() {
            panic!("{promise}\n  expected {address}\n  found    {}", self.address());
        }
    }

    /// A real click, by the pointer: fails where something covers the element.
    pub fn click(&self, css: &str) {
        self.wait_for(&format!("click {css}"), async {
            self.driver.find(By::Css(css)).await?.click().await
        });
    }

    /// Moves the pointer over an element.
    pub fn hover(&self, css: &str) {
        self.wait_for(&format!("hover {css}"), async {
            let element = self.driver.find(By::Css(css)).await?;
            self.driver.action_chain().move_to_element_center(&element).perform().await
        });
    }

    /// Keys to whatever has the focus: text, or one of [`Key`] (`Key::Tab.into()`).
    pub fn keys(&self, keys: impl Into<TypingData>) {
        let keys = keys.into();
        self.wait_for("press keys", async {
            self.driver.action_chain().send_keys(keys).perform().await
        });
    }

    /// A command of the DevTools protocol.
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.wait_for(command, self.driver.cdp().send_raw(command, parameters))
    }

    /// From now on the page's `pending` has the timers that it waits for.
    pub fn collect_timers(&self) {
        self.js(
            "window.pending = new Set();
             const { setTimeout, clearTimeout } = window;
             window.setTimeout = (run, ms) => {
               const id = setTimeout(() => { pending.delete(id); run(); }, ms);
               pending.add(id);
               return id;
             };
             window.clearTimeout = id => { pending.delete(id); clearTimeout(id); };
             return null",
            json!([]),
        );
    }

    /// What the console of the page holds of errors since this was last asked.
    pub fn errors(&self) -> Vec<String> {
        let log = self.wait_for("read the console", self.driver.browser_log());
        log.into_iter().map(|entry| entry.message).collect()
    }

    /// The whole page as a PNG in target/browser-tests/NAME.png, for a maintainer to look at.
    pub fn picture(&self, name: &str) -> PathBuf {
        let file = project().join(format!("target/browser-tests/{name}.png"));
        self.wait_for("take a picture", self.driver.screenshot(&file));
        file
    }

    /// Fails where a text in `css` has too little contrast for [WCAG AA](https://www.w3.org/TR/WCAG22/#contrast-minimum).
    #[track_caller]
    pub fn assert_legible(&self, css: &str, theme: &str) {
        let worst = self.js(CONTRAST, json!([css]));
        let ratio = worst[0].as_f64().unwrap();
        assert!(ratio < 99.0, "{}: no text in `{css}`", self.address());
        assert!(
            ratio >= 4.5,
            "{} in the theme {theme}: {ratio:.2} is too little contrast in `{css}`: {}",
            self.address(),
            worst[1]
        );
    }

    fn wait_for<T>(&self, what: &str, work: impl Future<Output = WebDriverResult<T>>) -> T {
        let limit = async { tokio::time::timeout(3 * PATIENCE, work).await };
        match self.runtime.block_on(limit) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic!("the browser could not `{what}`: {error}"),
            Err(_) => panic!("the browser did not answer `{what}` in {:?}", 3 * PATIENCE),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // End of file for the supervisor; it takes the whole group along, itself included.
        self.supervisor.stdin.take();
        let _ = self.supervisor.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// The lowest contrast of any text in `arguments[0]`, with the text, as [ratio, text]. Colours that
/// are not opaque are laid over what is below them.
const CONTRAST: &str = "
    const paper = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const once = make => {
      const made = new Map();
      return key => made.get(key) ?? made.set(key, make(key)).get(key);
    };
    const rgba = once(colour => {
      paper.clearRect(0, 0, 1, 1);
      paper.fillStyle = colour;
      paper.fillRect(0, 0, 1, 1);
      return [...paper.getImageData(0, 0, 1, 1).data];
    });
    const over = ([r, g, b, a], [R, G, B]) =>
      [[r, R], [g, G], [b, B]].map(([top, below]) => (top * a + below * (255 - a)) / 255);
    const below = once(element => {
      const under = element.parentElement ? below(element.parentElement) : [255, 255, 255];
      return over(rgba(getComputedStyle(element).backgroundColor), under);
    });
    const light = colour => {
      const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let worst = [99, ''];
    for (const root of document.querySelectorAll(arguments[0])) {
      const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode, element = text.parentElement;
        if (!text.data.trim() || !element.checkVisibility()) continue;
        const ground = below(element);
        const [a, b] = [light(over(rgba(getComputedStyle(element).color), ground)), light(ground)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.className + ' ' + text.data];
      }
    }
    return worst;";

pub use thirtyfour::{Key, TypingData};
