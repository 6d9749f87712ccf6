//! The tables of Markdown.

use std::fmt::Write;

use batchkit::Transport;

use super::thousands;
use crate::contestants::Name;
use crate::crossover::TRANSPORTS;
use crate::results::{Crossover, Steady, Sweep, Table, Time, Width};
use crate::task::Verb;

/// One row per contestant, one column per verb.
fn grid(table: &Table, verbs: &[Verb], cell: impl Fn(Verb, Name, Time) -> String) -> String {
    let mut text = String::from("| |");
    verbs.iter().for_each(|verb| _ = write!(text, " {} |", verb.name()));
    text.push_str("\n|---|");
    verbs.iter().for_each(|_| text.push_str("--:|"));
    for name in table.names() {
        _ = write!(text, "\n| {} |", name.title());
        for &verb in verbs {
            let cell = table.get(verb, name).map_or(String::new(), |time| cell(verb, name, time));
            let dagger = if name.is_makeshift(verb) && !cell.is_empty() { " †" } else { "" };
            _ = write!(text, " {cell}{dagger} |");
        }
    }
    text.push('\n');
    text
}

/// The best is in bold; the floor is nobody's competitor.
fn bold(table: &Table, verb: Verb, name: Name, of: fn(Time) -> f64, time: Time, cell: String) -> String {
    let best = table.best(verb, |name| name != Name::Floor, of);
    if name != Name::Floor && best == Some(of(time)) { format!("**{cell}**") } else { cell }
}

/// Times: the ratio to the floor where there is one, and milliseconds.
pub fn times(table: &Table) -> String {
    grid(table, &table.verbs(), |verb, name, time| {
        let floor = table.get(verb, Name::Floor);
        let ratio = floor.map_or(String::new(), |floor| format!("{:.2}x, ", time.wall / floor.wall));
        let cell = format!("{ratio}{} ms", milliseconds(time.wall));
        bold(table, verb, name, |time| time.wall, time, cell)
    })
}

/// The shortest times, by the floor's shortest.
pub fn least(table: &Table) -> String {
    grid(table, &table.verbs(), |verb, name, time| {
        let floor = table.get(verb, Name::Floor);
        let ratio = floor.map_or(String::new(), |floor| format!("{:.2}x, ", time.least / floor.least));
        let cell = format!("{ratio}{} ms", milliseconds(time.least));
        bold(table, verb, name, |time| time.least, time, cell)
    })
}

/// Times by the best contestant's.
pub fn ratios(table: &Table) -> String {
    grid(table, &table.verbs(), |verb, name, time| {
        let best = table.best(verb, |name| name != Name::Floor, |time| time.wall).unwrap_or(f64::NAN);
        bold(table, verb, name, |time| time.wall, time, format!("{:.2}", time.wall / best))
    })
}

/// The client's own work, in microseconds of processor time per row.
pub fn work(table: &Table) -> String {
    let rows = u32::try_from(table.rows).map_or(f64::NAN, f64::from);
    grid(table, &table.verbs(), |verb, name, time| {
        bold(table, verb, name, |time| time.cpu, time, format!("{:.2}", time.cpu * 1e6 / rows))
    })
}

/// The client's own work in instructions per row, and by the least of the others'.
pub fn instructions(table: &Table) -> String {
    grid(table, &table.verbs(), |verb, name, time| {
        let least = table.best(verb, Name::is_peer, |time| time.cpu).unwrap_or(f64::NAN);
        let ratio = format!("{:.2}x, {}", time.cpu / least, thousands_of(time.cpu));
        bold(table, verb, name, |time| time.cpu, time, ratio)
    })
}

/// Times of few rows: the ratio to the best, and microseconds per call.
pub fn small(table: &Table) -> String {
    grid(table, &table.verbs(), |verb, name, time| {
        let best = table.best(verb, |_| true, |time| time.wall).unwrap_or(f64::NAN);
        let cell = format!("{:.2}x, {:.0} µs", time.wall / best, time.wall * 1e6);
        bold(table, verb, name, |time| time.wall, time, cell)
    })
}

/// batchkit's time by the best peer's.
pub fn summary(table: &Table) -> String {
    let mut text = String::from(
        "| | batchkit by the best of the others | Parallel by the best of the others | its client work by the least of \
         the others |\n|---|--:|--:|--:|\n",
    );
    for verb in table.verbs() {
        let peer = |of| table.best(verb, Name::is_peer, of);
        let ratio = |name, of: fn(Time) -> f64| match (table.get(verb, name), peer(of)) {
            (Some(time), Some(peer)) => format!("{:.2}", of(time) / peer),
            _ => String::new(),
        };
        let wall = |time: Time| time.wall;
        let (own, parallel) = (ratio(Name::Batchkit, wall), ratio(Name::BatchkitParallel, wall));
        _ = writeln!(text, "| {} | {own} | {parallel} | {} |", verb.name(), ratio(Name::Batchkit, |time| time.cpu));
    }
    text
}

/// The first call of a connection beside its last.
pub fn steady(steady: &[Steady], calls: usize) -> String {
    let mut text = format!("| | | call 1 | call {calls} | |\n|---|---|--:|--:|--:|\n");
    for Steady { verb, name, first, last } in steady {
        _ = writeln!(
            text,
            "| {} | {} | {} ms | {} ms | {:.2}x |",
            verb.name(),
            name.title(),
            milliseconds(first.wall),
            milliseconds(last.wall),
            last.wall / first.wall
        );
    }
    text
}

/// The guide's table: how many times faster than single statements.
pub fn guide(table: &Table) -> Option<String> {
    let guide = [(Verb::Insert, 12), (Verb::Update, 9), (Verb::Delete, 11), (Verb::Get, 8), (Verb::Upsert, 9)];
    let head = "| | single statements | batchkit | `Parallel` on two workers | in the guide |\n|---|--:|--:|--:|--:|\n";
    let mut text = String::from(head);
    for (verb, promised) in guide {
        let Some(single) = table.get(verb, Name::Single) else { continue };
        let times = |name| match table.get(verb, name) {
            Some(own) => format!("{:.1}x faster, {} ms", single.wall / own.wall, milliseconds(own.wall)),
            None => String::new(),
        };
        let (own, parallel) = (times(Name::Batchkit), times(Name::BatchkitParallel));
        _ = writeln!(text, "| {} | {} ms | {own} | {parallel} | {promised}x |", verb.name(), milliseconds(single.wall));
    }
    (text.len() > head.len()).then_some(text)
}

/// What each transport costs, in microseconds per row, by the number of rows.
pub fn crossover(verb: Verb, all: &[Crossover]) -> String {
    let mut text = String::from("| rows |");
    TRANSPORTS.iter().for_each(|transport| _ = write!(text, " {transport:?} |"));
    text.push_str("\n|--:|");
    TRANSPORTS.iter().for_each(|_| text.push_str("--:|"));
    text.push('\n');
    let of_verb: Vec<&Crossover> = all.iter().filter(|one| one.verb == verb).collect();
    for same in of_verb.chunk_by(|one, next| one.rows == next.rows) {
        let rows = same[0].rows;
        let divisor = u32::try_from(rows).map_or(f64::NAN, f64::from);
        let forced = same.iter().filter(|one| one.transport != Transport::Auto);
        let best = forced.map(|one| one.time.wall).min_by(f64::total_cmp);
        _ = write!(text, "| {} |", thousands(rows));
        for transport in TRANSPORTS {
            let time = same.iter().find(|one| one.transport == transport).map(|one| one.time.wall);
            let cell = time.map_or(String::new(), |time| format!("{:.2}", time * 1e6 / divisor));
            let is_best = time.is_some() && time == best;
            _ = if is_best { write!(text, " **{cell}** |") } else { write!(text, " {cell} |") };
        }
        text.push('\n');
    }
    text
}

fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// The sizes of chunks beside `Auto`, by the time of the best of them.
pub fn sweep(all: &[Sweep]) -> String {
    let mut text = String::new();
    for same in all.chunk_by(|one, next| (one.delay, one.width, one.verb) == (next.delay, next.width, next.verb)) {
        let fixed = same.iter().filter(|one| one.size.is_some());
        let best = fixed.map(|one| one.time.wall).min_by(f64::total_cmp).unwrap_or(f64::NAN);
        if text.is_empty() || same[0].verb == Verb::Insert {
            text.push_str("\n| rows | delay | verb | Auto |");
            same.iter().filter_map(|one| one.size).for_each(|size| _ = write!(text, " {} |", thousands(size)));
            text.push_str("\n|---|--:|---|--:|");
            same.iter().filter(|one| one.size.is_some()).for_each(|_| text.push_str("--:|"));
            text.push('\n');
        }
        let what = match same[0].width {
            Width::Narrow => "narrow",
            Width::Text => "of 300 bytes",
            Width::Wide => "of 10 KB",
        };
        _ = write!(text, "| {} {what} | {} ms | {} |", thousands(same[0].rows), same[0].delay, same[0].verb.name());
        let mut sorted: Vec<&Sweep> = same.iter().collect();
        sorted.sort_by_key(|one| one.size);
        for one in sorted {
            let cell = format!("{:.2}x, {} ms", one.time.wall / best, milliseconds(one.time.wall));
            let is_best = one.size.is_some() && best.total_cmp(&one.time.wall).is_eq();
            _ = if is_best { write!(text, " **{cell}** |") } else { write!(text, " {cell} |") };
        }
        text.push('\n');
    }
    text
}

fn thousands_of(number: f64) -> String {
    format!("{number:.0}").parse().map_or_else(|_| String::new(), thousands)
}
