//! A chart of lines as SVG, readable on light and dark ground.
//!
//! Comes in: axes with their ticks, lines in the axes' own units. Goes out: one SVG document.
//! Always true: colours follow the reader's scheme; each line is in the legend, and beyond eight colours by
//! the dashes; nothing outside the document is named. By hand, since the crates that draw do not know of
//! two schemes. Not here: what is drawn.

use std::fmt::{self, Display, Formatter, Write};

/// Sizes in the document's own units.
const PLOT: (f64, f64) = (640.0, 360.0);
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const BELOW: f64 = 60.0;
const LEGEND_LINE: f64 = 20.0;
/// Ticks of a linear axis, about.
const TICKS: f64 = 6.0;
/// Dashes of the lines past each colour's first.
const DASHES: [&str; 4] = ["none", "8 4", "2 4", "10 3 2 3"];
/// On light and on dark ground: distinct also to those who do not tell red from green (after Okabe and Ito).
const COLOURS: [(&str, &str); 8] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8f4a"),
    ("#009e73", "#2fd6a5"),
    ("#b0578f", "#e69fd0"),
    ("#8a6d00", "#f0e442"),
    ("#444444", "#cccccc"),
    ("#6a3dca", "#b79cff"),
    ("#a3122f", "#ff7b91"),
];

pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// From the first tick to the last.
pub struct Axis {
    label: String,
    ticks: Vec<(f64, String)>,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Axis {
    /// Ticks from the least to the most.
    pub fn with(label: &str, ticks: Vec<(f64, String)>) -> Self {
        Self { label: label.to_owned(), ticks }
    }

    /// From 0 to a round number not below `most`.
    pub fn linear(label: &str, most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let decade = 10_f64.powf((most / TICKS).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|part| part * decade);
        let step = steps.into_iter().find(|step| most / step <= TICKS).unwrap_or(steps[3]);
        let count = (most / step).ceil() as u32;
        let tick = |number| f64::from(number) * step;
        Self::with(label, (0..=count).map(|number| (tick(number), shortest(tick(number)))).collect())
    }

    /// Where a value lies between the first tick and the last.
    fn part(&self, value: f64) -> f64 {
        let (first, last) =
            (self.ticks.first().map_or(0.0, |tick| tick.0), self.ticks.last().map_or(1.0, |tick| tick.0));
        if last > first { (value - first) / (last - first) } else { 0.5 }
    }
}

/// Without the traces of binary fractions.
fn shortest(value: f64) -> String {
    let written = format!("{value:.6}");
    written.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Chart {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (LEFT + self.x.part(x) * PLOT.0, TOP + (1.0 - self.y.part(y)) * PLOT.1)
    }

    fn axes(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (right, bottom) = (LEFT + PLOT.0, TOP + PLOT.1);
        for (value, label) in &self.x.ticks {
            let x = LEFT + self.x.part(*value) * PLOT.0;
            writeln!(out, r#"<path class="grid" d="M{x:.1} {TOP}V{bottom}"/>"#)?;
            writeln!(
                out,
                r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 18.0,
                Escaped(label)
            )?;
        }
        for (value, label) in &self.y.ticks {
            let y = TOP + (1.0 - self.y.part(*value)) * PLOT.1;
            writeln!(out, r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/>"#)?;
            writeln!(
                out,
                r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                y + 4.0,
                Escaped(label)
            )?;
        }
        let (x, y) = (LEFT + PLOT.0 / 2.0, TOP + PLOT.1 / 2.0);
        let below = bottom + 40.0;
        writeln!(out, r#"<text x="{x}" y="{below}" text-anchor="middle">{}</text>"#, Escaped(&self.x.label))?;
        let turned = format!(r#"transform="translate(16 {y}) rotate(-90)""#);
        writeln!(out, r#"<text {turned} text-anchor="middle">{}</text>"#, Escaped(&self.y.label))?;
        writeln!(out, r#"<text class="title" x="{LEFT}" y="24">{}</text>"#, Escaped(&self.title))
    }

    fn line(&self, number: usize, out: &mut Formatter<'_>) -> fmt::Result {
        let Line { name, points } = &self.lines[number];
        let mut path = String::new();
        for (x, y) in points.iter().map(|point| self.at(*point)) {
            write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' })?;
        }
        let dashes = DASHES[(number / COLOURS.len()) % DASHES.len()];
        let style = format!(r#"class="line c{}" stroke-dasharray="{dashes}""#, number % COLOURS.len());
        writeln!(out, r#"<path {style} d="{path}"/>"#)?;
        // A server that was measured once has a point and no line.
        if let [point] = points.as_slice() {
            let (x, y) = self.at(*point);
            writeln!(out, r#"<path {style} d="M{:.1} {y:.1}h8"/>"#, x - 4.0)?;
        }
        let y = TOP + PLOT.1 + BELOW + LEGEND_LINE * number as f64;
        writeln!(out, r#"<path {style} d="M{LEFT} {y:.1}h30"/>"#)?;
        writeln!(out, r#"<text x="{}" y="{:.1}">{}</text>"#, LEFT + 38.0, y + 4.0, Escaped(name))
    }
}

impl Display for Chart {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let width = LEFT + PLOT.0 + 40.0;
        let height = TOP + PLOT.1 + BELOW + LEGEND_LINE * self.lines.len() as f64;
        writeln!(out, r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">"#)?;
        writeln!(out, "<title>{}</title>\n<style>{}</style>", Escaped(&self.title), Style)?;
        writeln!(out, r#"<rect class="ground" width="{width}" height="{height}"/>"#)?;
        self.axes(out)?;
        (0..self.lines.len()).try_for_each(|number| self.line(number, out))?;
        writeln!(out, "</svg>")
    }
}

struct Style;

impl Display for Style {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let scheme = |out: &mut Formatter<'_>, ground: &str, ink: &str, grid: &str| {
            write!(out, ".ground{{fill:{ground}}}text{{fill:{ink}}}.grid{{stroke:{grid}}}")
        };
        write!(out, "text{{font:13px sans-serif}}.title{{font-weight:bold}}.line{{fill:none;stroke-width:2}}")?;
        scheme(out, "#ffffff", "#222222", "#dddddd")?;
        COLOURS.iter().enumerate().try_for_each(|(number, (light, _))| write!(out, ".c{number}{{stroke:{light}}}"))?;
        write!(out, "@media(prefers-color-scheme:dark){{")?;
        scheme(out, "#16181d", "#e6e6e6", "#3a3f4b")?;
        COLOURS.iter().enumerate().try_for_each(|(number, (_, dark))| write!(out, ".c{number}{{stroke:{dark}}}"))?;
        write!(out, "}}")
    }
}

/// Text as XML has it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            other => out.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_drawn_and_named() {
        let line = |name: &str, points: &[(f64, f64)]| Line { name: name.to_owned(), points: points.to_vec() };
        let chart = Chart {
            title: "a < b".to_owned(),
            x: Axis::with("x, units", vec![(0.0, "0".to_owned()), (2.0, "2".to_owned())]),
            y: Axis::linear("y, ms", 10.0),
            lines: vec![line("ours", &[(0.0, 0.0), (1.0, 5.0), (2.0, 10.0)]), line("R&D", &[(0.0, 10.0), (2.0, 0.0)])],
        };
        let drawn = chart.to_string();
        for expected in ["a &lt; b", "x, units", "y, ms", ">ours<", ">R&amp;D<", "prefers-color-scheme:dark"] {
            assert!(drawn.contains(expected), "{expected}");
        }
        // From corner to corner: the axes' ends are the plot's.
        assert!(drawn.contains(r#"d="M70.0 400.0L390.0 220.0L710.0 40.0""#), "{drawn}");
        assert_eq!(drawn.matches(r#"class="line c"#).count(), 2 * 2, "a line and its place in the legend");
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        for (most, last) in [(10.0, "10"), (0.7, "0.8"), (61.0, "80"), (0.0, "1"), (25_300.0, "30000")] {
            let axis = Axis::linear("", most);
            let (end, label) = axis.ticks.last().expect("ticks");
            assert_eq!(label, last, "{most}");
            assert!(*end >= most && axis.ticks.len() <= 8, "{most}");
        }
    }
}
