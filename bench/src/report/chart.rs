//! A chart of bars as SVG: how many times the server's own time each contestant takes.
//!
//! The axis is logarithmic and ends where bars would hide all others; a bar that is cut off there says its number.

use std::fmt::Write;

use super::thousands;
use crate::contestants::Name;
use crate::results::Table;
use crate::task::Verb;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 96.0;
const BAR: f64 = 13.0;
const GAP: f64 = 16.0;
/// The axis shows ratios up to this one.
const MOST: f64 = 16.0;
/// And from this one on: a bar of a contestant as fast as the server has some length.
const LEAST: f64 = 0.5;

/// The chart of the verbs that have a floor, if there are any.
pub fn chart(table: &Table) -> Option<String> {
    let verbs: Vec<Verb> = table.verbs().into_iter().filter(|verb| table.get(*verb, Name::Floor).is_some()).collect();
    let names: Vec<Name> = table.names().into_iter().filter(|name| *name != Name::Floor).collect();
    if verbs.is_empty() || names.is_empty() {
        return None;
    }
    let mut bars = String::new();
    let mut y = TOP;
    for &verb in &verbs {
        let top = y;
        for &name in &names {
            let (Some(time), Some(floor)) = (table.get(verb, name), table.get(verb, Name::Floor)) else { continue };
            let ratio = time.wall / floor.wall;
            let end = x(ratio);
            let dagger = if name.is_makeshift(verb) { " †" } else { "" };
            let more = if ratio > MOST { " →" } else { "" };
            _ = writeln!(
                bars,
                r#"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{}"><title>{}</title></rect>
<text x="{:.1}" y="{:.1}" class="n">{ratio:.2}{dagger}{more}</text>"#,
                end - LEFT,
                BAR - 2.0,
                color(name),
                name.title(),
                end + 4.0,
                y + BAR - 3.5,
            );
            y += BAR;
        }
        let middle = f64::midpoint(top, y) + 4.0;
        _ = writeln!(bars, r#"<text x="{:.1}" y="{middle:.1}" class="v">{}</text>"#, LEFT - 10.0, verb.name());
        y += GAP;
    }
    let bottom = y - GAP + 4.0;
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="sans-serif">
<style>text{{font-size:12px;fill:#333}}.v{{text-anchor:end;font-weight:bold}}.n{{font-size:10px}}.a{{text-anchor:middle;font-size:10px}}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LEFT}" y="20" style="font-size:15px;font-weight:bold">{rows} rows: time by that of the server alone (less is better, logarithmic)</text>
{legend}{grid}{bars}</svg>
"##,
        height = bottom + 28.0,
        rows = thousands(table.rows),
        legend = legend(&names),
        grid = grid(bottom),
    ))
}

/// Where a ratio is on the axis.
fn x(ratio: f64) -> f64 {
    let share = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn grid(bottom: f64) -> String {
    let mut text = String::new();
    for ratio in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
        let (x, color) = (x(ratio), if ratio == 1.0 { "#333" } else { "#ddd" });
        _ = writeln!(
            text,
            r#"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="{color}"/>
<text x="{x:.1}" y="{:.1}" class="a">{ratio}x</text>"#,
            TOP - 6.0,
            bottom + 14.0
        );
    }
    text
}

fn legend(names: &[Name]) -> String {
    let mut text = String::new();
    for (name, place) in names.iter().zip(0_u32..) {
        let (column, row) = (f64::from(place % 4), f64::from(place / 4));
        let (x, y) = (16.0 + column * 236.0, 32.0 + row * 18.0);
        _ = writeln!(
            text,
            r#"<rect x="{x:.0}" y="{y:.0}" width="11" height="11" fill="{}"/><text x="{:.0}" y="{:.0}">{}</text>"#,
            color(*name),
            x + 16.0,
            y + 10.0,
            name.title()
        );
    }
    text
}

/// A palette that the colour-blind can tell apart (Okabe and Ito's), batchkit in its strongest colours.
fn color(name: Name) -> &'static str {
    match name {
        Name::Floor => "#000000",
        Name::Batchkit => "#d55e00",
        Name::BatchkitParallel => "#e69f00",
        Name::Copy => "#0072b2",
        Name::Unnest => "#56b4e9",
        Name::Sqlx => "#009e73",
        Name::Diesel => "#cc79a7",
        Name::SeaOrm => "#8c6bb1",
        Name::Pgorm => "#999999",
        Name::Single => "#444444",
    }
}
