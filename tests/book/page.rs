//! A page of the book as the tests see it: sections of blocks, and what mdBook would make of it.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{fs, iter};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd, TextMergeWithOffset};

/// The languages, by the names of their folders below `book/`.
pub const LANGUAGES: [&str; 2] = ["ko", "en"];

/// Every page: `book/index.md`, then the pages of each language by name.
pub static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let pages = LANGUAGES.iter().flat_map(|language| files(&format!("book/{language}"), ".md"));
    iter::once("book/index.md".to_owned()).chain(pages).map(|path| Page::read(&path)).collect()
});

/// What is read beside the book, in the same Markdown: the README in the order of `LANGUAGES`, then
/// the rest.
pub static PAPERS: LazyLock<Vec<Page>> =
    LazyLock::new(|| ["README.ko.md", "README.md", "CONTRIBUTING.md"].map(Page::read).into());

/// `book/SUMMARY.md`: the order of the pages, and what the sidebar calls them.
pub static SUMMARY: LazyLock<Page> = LazyLock::new(|| Page::read("book/SUMMARY.md"));

/// One page. Paths are those of the project, with `/`; lines count from 1.
#[derive(Default)]
pub struct Page {
    pub path: String,
    pub source: String,
    pub headings: Vec<Heading>,
    /// The blocks before the first heading; then a heading and what is below it; and so on.
    pub sections: Vec<Vec<Block>>,
    pub fences: Vec<Fence>,
    pub includes: Vec<Include>,
    /// Every line with a `{{#` that is not just an include.
    pub strange_directives: Vec<(usize, String)>,
    /// The ids of headings and HTML elements, those of included figures too.
    pub ids: Vec<(usize, String)>,
    /// Links and images.
    pub links: Vec<Link>,
    /// What a reader sees as text, code apart.
    pub prose: Vec<(usize, String)>,
    /// Code within a line of text: `` `…` `` and `<code>…</code>`.
    pub code: Vec<(usize, String)>,
    /// Emphasis that came of `*` or `_`, as it is in the source.
    pub starred: Vec<(usize, String)>,
}

pub struct Heading {
    pub line: usize,
    /// 1 for the page's title.
    pub level: usize,
    pub id: Option<String>,
    pub text: String,
}

pub struct Link {
    pub line: usize,
    pub to: String,
    /// What a reader clicks; empty for images and for links in HTML that go over several lines.
    pub text: String,
}

/// A heading, a paragraph, a table, …: its kind is everything about it that languages share.
pub struct Block {
    pub line: usize,
    pub kind: String,
}

pub struct Fence {
    pub line: usize,
    pub info: String,
    /// What is inside, from the line below on.
    pub body: Vec<String>,
}

/// `{{#include file}}` or `{{#include file:anchor}}`, on a line of its own.
pub struct Include {
    pub line: usize,
    pub directive: String,
    pub file: String,
    pub anchor: Option<String>,
}

impl Page {
    pub fn read(path: &str) -> Page {
        let source = read(path).unwrap_or_else(|problem| panic!("{problem}"));
        let mut page = Page { path: path.to_owned(), source: source.clone(), ..Page::default() };
        page.find_includes(&source);
        page.find_blocks(&source);
        page.find_text(&source);
        page
    }

    /// Its name in its language's folder, which is its name in every language.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// Its language; the index has none.
    pub fn language(&self) -> Option<&str> {
        self.path.split('/').nth(1).filter(|folder| LANGUAGES.contains(folder))
    }

    /// The index in `sections` of the one that a line is in.
    pub fn section_at(&self, line: usize) -> usize {
        let starts = |section: &Vec<Block>| section.first().is_some_and(|block| block.line <= line);
        self.sections.iter().rposition(starts).unwrap_or(0)
    }

    /// The fence that a line is in.
    pub fn fence_at(&self, line: usize) -> Option<&Fence> {
        self.fences.iter().find(|fence| (1..=fence.body.len()).any(|row| fence.line + row == line))
    }

    /// The include on a line.
    pub fn include_at(&self, line: usize) -> Option<&Include> {
        self.includes.iter().find(|include| include.line == line)
    }

    fn find_includes(&mut self, source: &str) {
        for (text, line) in source.lines().zip(1..) {
            let target = text.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
            if let Some(target) = target.filter(|target| !target.contains(['{', '}', ' '])) {
                let (file, anchor) = match target.split_once(':') {
                    Some((file, anchor)) => (file, Some(anchor.to_owned())),
                    None => (target, None),
                };
                let (directive, file) = (text.to_owned(), resolve(&self.path, file));
                self.includes.push(Include { line, directive, file, anchor });
            } else if text.contains("{{#") {
                self.strange_directives.push((line, text.to_owned()));
            }
        }
    }

    fn find_blocks(&mut self, page: &str) {
        self.sections.push(Vec::new());
        let events: Vec<_> = markdown(page).into_offset_iter().collect();
        let mut around: Vec<&str> = Vec::new();
        for (at, (event, range)) in events.iter().enumerate() {
            let tag = match event {
                Event::Start(tag) => tag,
                Event::End(_) => {
                    around.pop();
                    continue;
                }
                _ => continue,
            };
            let (source, line) = (&page[range.clone()], line_at(page, range.start));
            let included =
                (line..).zip(source.lines()).filter_map(|(line, _)| self.include_at(line));
            let included: String =
                included.map(|include| format!(" {}", include.directive)).collect();
            // What was measured: one file for each language.
            let language = format!(".{}.", self.language().unwrap_or_default());
            let included = included.replace(&language, ".");
            let count = || children(events[at..].iter().map(|(event, _)| event));
            let kind = match tag {
                Tag::Heading { level, id, .. } => {
                    self.sections.push(Vec::new());
                    let id = id.as_ref().map(|id| format!(" {{#{id}}}"));
                    format!("a heading {level}{}", id.unwrap_or_default())
                }
                Tag::Paragraph if !included.is_empty() => {
                    format!("a table that is included{included}")
                }
                Tag::Paragraph => "a paragraph".to_owned(),
                Tag::BlockQuote(None) => "a quotation".to_owned(),
                Tag::BlockQuote(Some(kind)) => format!("an admonition {kind:?}"),
                Tag::List(None) => format!("a list of {}", count()),
                Tag::List(Some(_)) => format!("a numbered list of {}", count()),
                Tag::Item => "an item".to_owned(),
                Tag::DefinitionListTitle => "a term".to_owned(),
                Tag::DefinitionListDefinition => "a definition".to_owned(),
                Tag::FootnoteDefinition(_) => "a footnote".to_owned(),
                Tag::Table(columns) => {
                    format!("a table of {} rows × {} columns", count(), columns.len())
                }
                Tag::CodeBlock(CodeBlockKind::Indented) => {
                    let (info, body) = ("indented".to_owned(), source.lines().map(str::to_owned));
                    self.fences.push(Fence { line: line - 1, info, body: body.collect() });
                    "an indented block of code".to_owned()
                }
                Tag::CodeBlock(CodeBlockKind::Fenced(info)) => {
                    let body = source.lines().skip(1);
                    let body = body.take_while(|line| !line.trim_start().starts_with("```"));
                    let (info, body) = (info.to_string(), body.map(str::to_owned).collect());
                    let kind = format!("a ```{info} fence{included}");
                    self.fences.push(Fence { line, info, body });
                    kind
                }
                Tag::HtmlBlock => format!("HTML {}{included}", outline(source)),
                _ => String::new(),
            };
            if !kind.is_empty() {
                let kind = around.iter().rev().fold(kind, |kind, outer| kind + outer);
                self.sections.last_mut().unwrap().push(Block { line, kind });
            }
            around.push(match tag {
                Tag::BlockQuote(_) => " in a quotation",
                Tag::List(_) => " in a list",
                _ => "",
            });
        }
    }

    /// Finds what a reader sees, and where links lead.
    fn find_text(&mut self, page: &str) {
        let (mut fence, mut html_code) = (false, false);
        let events: Vec<_> = TextMergeWithOffset::new(markdown(page).into_offset_iter()).collect();
        for (at, (event, range)) in events.iter().enumerate() {
            let line = line_at(page, range.start);
            let text = || text_of_first(events[at..].iter().map(|(event, _)| event));
            match event {
                Event::Start(Tag::CodeBlock(_)) => fence = true,
                Event::End(TagEnd::CodeBlock) => fence = false,
                Event::Text(code) if html_code => self.code.push((line, code.to_string())),
                Event::Text(_) if !fence && self.include_at(line).is_some() => {}
                Event::Text(words) if !fence => self.prose.push((line, words.to_string())),
                Event::Code(code) => self.code.push((line, code.to_string())),
                Event::InlineHtml(tag) if **tag == *"<code>" => html_code = true,
                Event::InlineHtml(tag) if **tag == *"</code>" => html_code = false,
                Event::Start(Tag::Heading { level, id, .. }) => {
                    let id = id.as_ref().map(|id| id.to_string());
                    self.ids.extend(id.clone().map(|id| (line, id)));
                    let level = *level as usize;
                    self.headings.push(Heading { line, level, id, text: text() });
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    self.links.push(Link { line, to: dest_url.to_string(), text: text() });
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    let (to, text) = (dest_url.to_string(), String::new());
                    self.links.push(Link { line, to, text });
                }
                Event::Start(Tag::Strong | Tag::Emphasis) => {
                    self.starred.push((line, page[range.clone()].to_owned()));
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    for (html, line) in html.lines().zip(line..) {
                        let figure = self.include_at(line).and_then(|figure| figure.text().ok());
                        let lines = figure.unwrap_or_else(|| vec![html.to_owned()]);
                        lines.iter().for_each(|html| self.find_text_in_html(line, html));
                    }
                }
                _ => {}
            }
        }
    }

    fn find_text_in_html(&mut self, line: usize, html: &str) {
        let all = |name| attributes(html, name).into_iter();
        self.ids.extend(all("id").map(|id| (line, id)));
        self.links.extend(all("href").chain(all("src")).map(|to| {
            let after = html.split_once(&format!("\"{to}\"")).map_or("", |(_, after)| after);
            let text = after.split_once('>').and_then(|(_, rest)| rest.split_once("</a>"));
            Link { line, to, text: text.map_or("", |(text, _)| text).to_owned() }
        }));
        let code = html.split("<code>").skip(1).filter_map(|rest| rest.split_once("</code>"));
        self.code.extend(code.map(|(code, _)| (line, code.to_owned())));
        self.prose.push((line, html.to_owned()));
    }
}

impl Include {
    /// The lines it brings in.
    pub fn text(&self) -> Result<Vec<String>, String> {
        let text = read(&self.file)?;
        let lines: Vec<&str> = text.lines().collect();
        Ok(self.rows(&text)?.into_iter().map(|row| lines[row].to_owned()).collect())
    }

    /// Which lines of `text`, its file, it brings in, counted from 0.
    pub fn rows(&self, text: &str) -> Result<Vec<usize>, String> {
        let rows = text.lines().enumerate();
        let Some(anchor) = &self.anchor else { return Ok(rows.map(|(row, _)| row).collect()) };
        let find = |comment| {
            let found = rows.clone().filter(|(_, line)| anchor_name(line, comment) == Some(anchor));
            match found.collect::<Vec<_>>()[..] {
                [(row, _)] => Ok(row),
                ref found => Err(format!(
                    "{} has {} comments `{comment} {anchor}`: it needs exactly one",
                    self.file,
                    found.len()
                )),
            }
        };
        let inside = find("ANCHOR:")? + 1..find("ANCHOR_END:")?;
        let code = rows.filter(|(row, line)| inside.contains(row) && !is_anchor(line));
        let code: Vec<usize> = code.map(|(row, _)| row).collect();
        match code.is_empty() {
            true => Err(format!("{} has no code inside the anchor `{anchor}`", self.file)),
            false => Ok(code),
        }
    }
}

/// Whether mdBook takes this line of code for the start or the end of an anchor.
pub fn is_anchor(line: &str) -> bool {
    ["ANCHOR:", "ANCHOR_END:"].iter().any(|comment| anchor_name(line, comment).is_some())
}

fn anchor_name<'a>(line: &'a str, comment: &str) -> Option<&'a str> {
    line.split_once(comment)?.1.split_whitespace().next()
}

/// Reads Markdown as mdBook 0.5 does with this book's settings.
pub fn markdown(text: &str) -> Parser<'_> {
    let tables = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    let inline = Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let github = Options::ENABLE_TASKLISTS | Options::ENABLE_GFM;
    Parser::new_ext(text, Options::ENABLE_HEADING_ATTRIBUTES | tables | inline | github)
}

/// The line of `text` that `offset` is on.
pub fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// How many children the first of `events` has: the items of a list, the rows of a table.
fn children<'a>(events: impl Iterator<Item = &'a Event<'a>>) -> usize {
    let (mut depth, mut children) = (0, 0);
    for event in events {
        match event {
            Event::Start(_) => {
                children += usize::from(depth == 1);
                depth += 1;
            }
            Event::End(_) if depth == 1 => break,
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    children
}

/// The text of what the first of `events` starts, without markup.
fn text_of_first<'a>(events: impl Iterator<Item = &'a Event<'a>>) -> String {
    let (mut depth, mut text) = (0, String::new());
    for event in events {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) if depth == 1 => break,
            Event::End(_) => depth -= 1,
            Event::Text(words) | Event::Code(words) => text += words,
            _ => {}
        }
    }
    text
}

/// The tags of an HTML block, without what may be words: inline tags, and of the attributes all
/// but `id` and `class`.
fn outline(html: &str) -> String {
    let inline = ["a", "br", "code", "em", "kbd", "span", "strong"];
    let mut outline = String::new();
    for tag in html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.split_whitespace().next().unwrap_or_default();
        if !inline.contains(&name.trim_start_matches('/')) {
            let kept = ["id", "class"].map(|name| (name, attributes(tag, name)));
            let kept = kept.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
            let kept: String = kept.map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
            outline += &format!("<{name}{kept}>");
        }
    }
    outline
}

/// The values of all attributes `name` in `html`.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!("{name}=\"");
    let starts = html.match_indices(&start).map(|(at, _)| at);
    let starts =
        starts.filter(|at| html[..*at].chars().next_back().is_none_or(char::is_whitespace));
    starts.filter_map(|at| html[at..].split('"').nth(1)).map(str::to_owned).collect()
}

/// The file that `link` means on the page `from`.
pub fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The project's own folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> Result<String, String> {
    let text = fs::read_to_string(root().join(path));
    text.map_err(|error| format!("cannot read {path}: {error}"))
}

/// Every file below `folder`, in order.
pub fn files_below(folder: &str) -> Vec<String> {
    let entries = files(folder, "").into_iter();
    let files = entries.flat_map(|path| match root().join(&path).is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    files.collect()
}

/// The files and folders in `folder` whose names end in `ending`, in order; hidden ones apart.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(ending) && !name.starts_with('.'));
    let mut paths: Vec<String> = names.map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    paths
}
