//! Plots in SVG that follow the theme of the page, and need no colour to be read.

use std::fmt::Write;

use super::{number, say};

/// What a plot is about, and the language of its words.
pub struct Frame<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub unit: &'a str,
    pub language: &'a str,
}

/// A server of [`bars`] or [`dots`].
pub struct Row {
    pub name: String,
    /// Least, median and most; or why there is none.
    pub value: Result<[f64; 3], String>,
}

/// As wide as every figure of the book, and text as large as the page's, so that a phone shows it.
const WIDTH: f64 = 480.0;

/// Where the servers' names end and the plot begins, and where it ends and the values stand.
const LEFT: f64 = 136.0;
const RIGHT: f64 = 392.0;
const ROW: f64 = 32.0;
const TOP: f64 = 10.0;

/// Where a plot with two scales ends: above, below and on the right, where the lines' names stand.
const HIGHEST: f64 = 36.0;
const BOTTOM: f64 = 276.0;
const HEIGHT: f64 = 330.0;
const END: f64 = 346.0;

/// What tells one line from another.
const DASHES: [&str; 4] = [
    "",
    " stroke-dasharray=\"9 4\"",
    " stroke-dasharray=\"2 4\"",
    " stroke-dasharray=\"12 4 2 4\"",
];

/// A bar for each server, from zero, with the spread as a line over its end.
pub fn bars(frame: &Frame, rows: &[Row]) -> String {
    let most = rows
        .iter()
        .filter_map(|row| row.value.as_ref().ok())
        .map(|all| all[2])
        .fold(1e-9, f64::max);
    let place = |value: f64| LEFT + value / most * (RIGHT - LEFT);
    let mut drawn = String::new();
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + at as f64 * ROW;
        if let Ok([_, median, _]) = row.value {
            let width = (place(median) - LEFT).max(1.5);
            let _ = writeln!(
                drawn,
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"18\" style=\"fill:var(--links)\" fill-opacity=\"0.55\"/>",
                y + 4.0
            );
        }
        drawn += &spread(row, y + 13.0, place);
    }
    let height = TOP + rows.len() as f64 * ROW + 26.0;
    let axis = format!(
        "<path d=\"M{LEFT} {TOP}V{:.0}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>\n",
        height - 26.0
    );
    let texts = labels(rows) + &caption(frame.unit, height);
    figure(frame, &told(frame, rows), height, &(drawn + &axis + &texts))
}

/// A dot for each server on a scale where each line stands for ten times the one before.
pub fn dots(frame: &Frame, rows: &[Row]) -> String {
    let all = || rows.iter().filter_map(|row| row.value.as_ref().ok());
    let least = all().map(|all| all[0]).fold(f64::MAX, f64::min).clamp(1e-3, 1e6);
    let most = all().map(|all| all[2]).fold(1e-3, f64::max);
    let (first, last) = decades(least, most);
    let place = |value: f64| {
        let share = (value.max(1e-3).log10() - first as f64) / (last - first) as f64;
        LEFT + 8.0 + share * (RIGHT - LEFT - 8.0)
    };
    let bottom = TOP + rows.len() as f64 * ROW;
    let mut drawn = String::new();
    for power in first..=last {
        let x = place(10_f64.powi(power));
        let _ = writeln!(
            drawn,
            "<path d=\"M{x:.1} {TOP}V{bottom:.0}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.3\"/>"
        );
        let _ = writeln!(
            drawn,
            "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            tick(power)
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + at as f64 * ROW + 13.0;
        drawn += &spread(row, y, place);
        if let Ok([_, median, _]) = row.value {
            let x = place(median);
            let _ = writeln!(
                drawn,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" style=\"fill:var(--links)\"/>"
            );
        }
    }
    let height = bottom + 46.0;
    let scale = say(frame.language, "세로줄마다 10배", "each line ten times the last");
    let texts = labels(rows) + &caption(&format!("{}, {scale}", frame.unit), height);
    figure(frame, &told(frame, rows), height, &(drawn + &texts))
}

/// A line for each server over the number of workers; both scales are in equal ratios.
pub fn lines(frame: &Frame, lines: &[(String, Vec<(u64, f64)>)]) -> String {
    const START: f64 = 92.0;
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let mut counts: Vec<u64> = points().map(|(count, _)| count).collect();
    counts.sort_unstable();
    counts.dedup();
    let least = points().map(|(_, value)| value).fold(f64::MAX, f64::min).clamp(1e-3, 1e9);
    let most = points().map(|(_, value)| value).fold(1e-3, f64::max);
    let (first, last) = decades(least, most);
    let widest = counts.last().map_or(1.0, |count| (*count as f64).log2()).max(1.0);
    let x = |count: u64| START + 10.0 + (count as f64).log2() / widest * (END - START - 10.0);
    let y = |value: f64| {
        let share = (value.max(1e-3).log10() - first as f64) / (last - first) as f64;
        BOTTOM - share * (BOTTOM - HIGHEST)
    };
    let mut drawn = String::new();
    for power in first..=last {
        let y = y(10_f64.powi(power));
        let _ = writeln!(
            drawn,
            "<path d=\"M{START} {y:.1}H{END}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.3\"/>"
        );
        let _ = writeln!(
            drawn,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            START - 6.0,
            y + 5.0,
            tick(power)
        );
    }
    for count in &counts {
        let _ = writeln!(
            drawn,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{count}</text>",
            x(*count),
            BOTTOM + 22.0
        );
    }
    // Names stand at the ends of their lines, and not over each other.
    let ends = lines.iter().filter_map(|(_, points)| points.last());
    let mut places: Vec<(usize, f64)> = ends.map(|(_, value)| y(*value)).enumerate().collect();
    let named: Vec<&(String, Vec<(u64, f64)>)> =
        lines.iter().filter(|(_, points)| !points.is_empty()).collect();
    places.sort_by(|left, right| left.1.total_cmp(&right.1));
    for at in 1..places.len() {
        places[at].1 = places[at].1.max(places[at - 1].1 + 20.0);
    }
    let too_low = places.last().map_or(0.0, |(_, y)| (y - BOTTOM).max(0.0));
    for (line, y_of_name) in places {
        let (name, points) = named[line];
        let path = points.iter().map(|(count, value)| format!("{:.1} {:.1}", x(*count), y(*value)));
        let path = path.collect::<Vec<_>>().join("L");
        let _ = writeln!(
            drawn,
            "<path d=\"M{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{}/>",
            DASHES[line % DASHES.len()]
        );
        let marks = points.iter().map(|(count, value)| mark(line, x(*count), y(*value)));
        let _ = writeln!(drawn, "<g style=\"fill:var(--links)\">{}</g>", marks.collect::<String>());
        let _ = writeln!(
            drawn,
            "<text x=\"{:.0}\" y=\"{:.1}\">{name}</text>",
            END + 14.0,
            y_of_name - too_low + 5.0
        );
    }
    let ko = frame.language == "ko";
    let ends = |points: &[(u64, f64)]| match (points.first(), points.last()) {
        (Some((one, least)), Some((many, most))) => {
            let (least, most) = (number(*least), number(*most));
            match ko {
                true => format!("워커 {one}개일 때 {least}, {many}개일 때 {most}"),
                false => format!("from {least} with {one} to {most} with {many} workers"),
            }
        }
        _ => say(frame.language, "측정하지 않음", "not measured"),
    };
    let told = lines.iter().map(|(name, points)| format!("{name}: {}", ends(points)));
    let unit = if ko { format!("단위: {}", frame.unit) } else { format!("In {}", frame.unit) };
    let told = format!("{unit}. {}.", told.collect::<Vec<_>>().join("; "));
    let titles = titles(frame.unit, &say(frame.language, "워커 수", "workers"), START);
    figure(frame, &told, HEIGHT, &(drawn + &titles))
}

/// A mark of another shape for each line.
fn mark(line: usize, x: f64, y: f64) -> String {
    match line % 4 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"),
        1 => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\"/>", x - 4.5, y - 4.5),
        2 => format!("<path d=\"M{x:.1} {:.1}l6 10h-12z\"/>", y - 6.0),
        _ => format!("<path d=\"M{x:.1} {:.1}l6 6l-6 6l-6-6z\"/>", y - 6.0),
    }
}

/// The powers of ten around these values, two of them at the least.
fn decades(least: f64, most: f64) -> (i32, i32) {
    let first = least.min(most).log10().floor() as i32;
    let last = most.log10().ceil() as i32;
    (first, last.max(first + 1))
}

fn tick(power: i32) -> String {
    match power {
        ..0 => format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power)),
        _ => super::whole(10_u64.pow(power as u32)),
    }
}

/// The line from the least to the most that was measured.
fn spread(row: &Row, y: f64, place: impl Fn(f64) -> f64) -> String {
    let Ok([least, _, most]) = &row.value else { return String::new() };
    let (from, to) = (place(*least), place(*most));
    let (top, bottom) = (y - 4.0, y + 4.0);
    format!(
        "<path d=\"M{from:.1} {y:.1}H{to:.1}M{from:.1} {top:.1}V{bottom:.1}M{to:.1} {top:.1}V{bottom:.1}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>\n"
    )
}

fn labels(rows: &[Row]) -> String {
    let mut texts = String::new();
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + at as f64 * ROW + 18.0;
        let _ = writeln!(
            texts,
            "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            row.name
        );
        let (x, anchor, text) = match &row.value {
            Ok([_, median, _]) => (WIDTH - 4.0, "end", number(*median)),
            Err(why) => (LEFT + 14.0, "start", why.clone()),
        };
        let _ = writeln!(
            texts,
            "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    texts
}

fn caption(text: &str, height: f64) -> String {
    format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{text}</text>\n",
        WIDTH - 4.0,
        height - 8.0
    )
}

/// Of a plot with two scales: what goes upwards stands above it, what goes across below its middle.
fn titles(up: &str, across: &str, start: f64) -> String {
    format!(
        "<text x=\"4\" y=\"14\">{up}</text>\n<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{across}</text>\n",
        (start + END) / 2.0,
        BOTTOM + 46.0
    )
}

fn told(frame: &Frame, rows: &[Row]) -> String {
    let (ko, unit) = (frame.language == "ko", frame.unit);
    let rows = rows.iter().map(|row| match &row.value {
        Ok(all) => {
            let (name, [least, median, most]) = (&row.name, all.map(number));
            match ko {
                true => format!("{name}: {median}, 범위 {least}–{most}"),
                false => format!("{name}: {median}, between {least} and {most}"),
            }
        }
        Err(why) => format!("{}: {why}", row.name),
    });
    let rows = rows.collect::<Vec<_>>().join("; ");
    match ko {
        true => format!("단위: {unit}, 중앙값. {rows}."),
        false => format!("In {unit}, medians. {rows}."),
    }
}

fn figure(frame: &Frame, told: &str, height: f64, drawn: &str) -> String {
    let Frame { id, title, language, .. } = frame;
    format!(
        "<svg lang=\"{language}\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-labelledby=\"{id}-plot-title {id}-plot-desc\" fill=\"currentColor\" font-size=\"15\" style=\"font-family:var(--mono-font, monospace)\">\n\
         <title id=\"{id}-plot-title\">{title}</title>\n\
         <desc id=\"{id}-plot-desc\">{told}</desc>\n\
         {drawn}</svg>\n"
    )
}

/// The scales of [`curves`]. Upwards it begins at zero.
pub struct Scales<'a> {
    /// What goes from left to right, from the first to the last, and where a number stands.
    pub across: &'a str,
    pub first: f64,
    pub last: f64,
    pub ticks: &'a [f64],
    /// Lines that go higher are cut off.
    pub highest: f64,
}

/// A line for each name, on plain scales.
pub fn curves(frame: &Frame, scales: &Scales, lines: &[(String, Vec<(f64, f64)>)]) -> String {
    const START: f64 = 52.0;
    let Scales { across, first, last, ticks, highest } = *scales;
    let x = |value: f64| START + (value - first) / (last - first) * (END - START);
    let y = |value: f64| BOTTOM - value.min(highest) / highest * (BOTTOM - HIGHEST);
    let mut drawn = String::new();
    for quarter in 0..=4 {
        let value = highest * f64::from(quarter) / 4.0;
        let y = y(value);
        let _ = writeln!(
            drawn,
            "<path d=\"M{START} {y:.1}H{END}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.3\"/>\n\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            START - 6.0,
            y + 5.0,
            value
        );
    }
    for tick in ticks {
        let _ = writeln!(
            drawn,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{tick}</text>",
            x(*tick),
            BOTTOM + 22.0
        );
    }
    for (line, (name, points)) in lines.iter().enumerate() {
        let inside = points.iter().take_while(|(_, value)| *value <= highest).count();
        // One point more, to where the line leaves the plot.
        let shown = &points[..points.len().min(inside + 1)];
        let path = shown.iter().map(|(at, value)| format!("{:.1} {:.1}", x(*at), y(*value)));
        let path = path.collect::<Vec<_>>().join("L");
        let _ = writeln!(
            drawn,
            "<path d=\"M{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{}/>",
            DASHES[line % DASHES.len()]
        );
        // Beside the plot, in the order of the lines: what each line looks like, and its name.
        let y = HIGHEST + 8.0 + line as f64 * 24.0;
        let _ = writeln!(
            drawn,
            "<path d=\"M{:.0} {y:.0}h24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{}/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
            END + 8.0,
            DASHES[line % DASHES.len()],
            END + 38.0,
            y + 5.0
        );
    }
    let ko = frame.language == "ko";
    let told = lines.iter().filter_map(|(name, points)| {
        let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let (at, _) = points.iter().find(|(_, value)| *value == most)?;
        let (most, at) = (number(most), number(*at));
        Some(match ko {
            true => format!("{name}: {across} {at}에서 가장 높은 값 {most}"),
            false => format!("{name}: at most {most}, where {across} is {at}"),
        })
    });
    let unit = if ko { format!("단위: {}", frame.unit) } else { format!("In {}", frame.unit) };
    let told = format!("{unit}. {}.", told.collect::<Vec<_>>().join("; "));
    figure(frame, &told, HEIGHT, &(drawn + &titles(frame.unit, across, START)))
}
