//! batchkit beside what its users would write or pick instead: one PostgreSQL, one run, contestants in turns.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- --help`
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

mod apart;
mod contestants;
mod crossover;
mod data;
mod delay;
mod instructions;
mod machine;
mod measure;
mod report;
mod results;
mod sweep;
mod task;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use batchkit_testbed::server::Server;
use clap::Parser;
use tokio::runtime::Builder;

use contestants::Name;
use measure::{Bench, CALLS};
use results::Results;
use task::Verb;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares batchkit with its peers, prints tables of Markdown, and writes them to docs/performance.md.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many rows, one comparison each.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    rows: Vec<usize>,
    /// How few rows, where each call has a transaction of its own.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_values_t = SMALL, default_missing_values = ["1", "10", "100"])]
    small: Vec<usize>,
    /// Leaves the comparisons of few rows out.
    #[arg(long)]
    no_small: bool,
    /// Leaves few rows to a server far away out.
    #[arg(long)]
    no_far: bool,
    /// Leaves the twelve calls on one connection out.
    #[arg(long)]
    no_steady: bool,
    /// Leaves batchkit's own transports beside each other out.
    #[arg(long)]
    no_crossover: bool,
    /// Leaves the sizes of chunks out.
    #[arg(long)]
    no_sweep: bool,
    /// Leaves the instructions out.
    #[arg(long)]
    no_instructions: bool,
    /// Only makes so many calls of the first verb by the first contestant: what is counted by callgrind.
    #[arg(long, hide = true)]
    calls: Option<u32>,
    /// How often each contestant has its turn.
    #[arg(long, default_value_t = 11)]
    repetitions: usize,
    /// Which verbs; all by default.
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<Verb>,
    /// Who takes part; all by default.
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<Name>,
    /// The folder of performance.md and its charts; the repository's docs by default.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes the figures to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Tells the figures of such a file instead of measuring.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Writes no page and no charts, only prints.
    #[arg(long)]
    dry: bool,
    /// Another chunk size for batchkit than its default, to try it.
    #[arg(long)]
    batch_size: Option<usize>,
}

const SMALL: [usize; 3] = [1, 10, 100];
/// How long everything is on its way to a server that is far away. (The timer adds some.)
const FAR: Duration = Duration::from_millis(1);

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    if let Some(calls) = arguments.calls {
        // One thread: what several do while they wait for each other differs from run to run.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let takes_part = runtime.block_on(make_calls(&arguments, calls))?;
        return Ok(if takes_part { ExitCode::SUCCESS } else { ExitCode::from(instructions::TAKES_NO_PART) });
    }
    // In a task, as the code of a service is: outside of one, each message between it and a connection's task would
    // wake another thread.
    Builder::new_multi_thread().enable_all().build()?.block_on(async { tokio::spawn(tell(arguments)).await })??;
    Ok(ExitCode::SUCCESS)
}

/// Makes the calls whose instructions are counted; whether the contestant takes part.
async fn make_calls(arguments: &Arguments, calls: u32) -> Result<bool, Failure> {
    let (Some(&rows), Some(&verb), Some(&name)) =
        (arguments.rows.first(), arguments.verbs.first(), arguments.contestants.first())
    else {
        return Err("calls of which verb, by whom?".into());
    };
    let bench = Bench::new(Server::start().await?, rows, 0, arguments.batch_size).await?;
    instructions::calls(&bench, name, verb, rows, calls).await
}

/// Measures, and tells what was measured.
async fn tell(arguments: Arguments) -> Result<(), Failure> {
    let results = match &arguments.from {
        Some(file) => serde_json::from_str(&fs::read_to_string(file)?)?,
        None => measure(&arguments).await?,
    };
    let names: Vec<Option<String>> = results
        .large
        .iter()
        .map(|table| report::chart(table).map(|_| format!("performance/{}-rows.svg", table.rows)))
        .collect();
    let page = report::page(&results, &names);
    println!("{page}");
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    if arguments.dry {
        return Ok(());
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let folder = arguments.out.as_deref().unwrap_or(&docs);
    fs::create_dir_all(folder.join("performance"))?;
    for (table, name) in results.large.iter().zip(&names) {
        if let (Some(chart), Some(name)) = (report::chart(table), name) {
            fs::write(folder.join(name), chart)?;
        }
    }
    Ok(fs::write(folder.join("performance.md"), page)?)
}

async fn measure(arguments: &Arguments) -> Result<Results, Failure> {
    let verbs = if arguments.verbs.is_empty() { Verb::ALL.to_vec() } else { arguments.verbs.clone() };
    let names = if arguments.contestants.is_empty() { Name::ALL.to_vec() } else { arguments.contestants.clone() };
    let server = Server::start().await?;
    let description = server.description().to_owned();
    let most = arguments.rows.iter().max().copied().unwrap_or_default();
    let bench = Bench::new(server, most, arguments.repetitions, arguments.batch_size).await?;
    let machine = machine::machine(&description, &bench.version().await?);
    let mut results = Results { machine, repetitions: arguments.repetitions, calls: CALLS, ..Results::default() };
    for &rows in &arguments.rows {
        results.large.push(bench.large(rows, &verbs, &names).await?);
    }
    for &rows in arguments.small.iter().filter(|_| !arguments.no_small) {
        results.small.push(bench.small(rows, &verbs, &names).await?);
    }
    for &rows in arguments.small.iter().filter(|_| !arguments.no_small) {
        results.apart.extend(bench.apart(rows, &verbs, &names).await?);
    }
    for &rows in arguments.small.iter().filter(|_| !arguments.no_small && !arguments.no_far) {
        results.far.push(bench.far(FAR, rows, &verbs, &names).await?);
    }
    if !arguments.no_sweep {
        results.sweep = bench.sweep().await?;
    }
    if !arguments.no_instructions {
        results.instructions = instructions::count(&bench.place.database, &verbs, &names)?;
    }
    if !arguments.no_steady {
        let chosen = |verb: &Verb| matches!(verb, Verb::Get | Verb::Update | Verb::Delete);
        let verbs: Vec<Verb> = verbs.iter().copied().filter(chosen).collect();
        let chosen = |name: &Name| matches!(name, Name::Batchkit | Name::Copy | Name::Unnest | Name::Sqlx);
        let names: Vec<Name> = names.into_iter().filter(chosen).collect();
        results.steady = bench.steady(10_000, &verbs, &names).await?;
    }
    if !arguments.no_crossover {
        results.crossover = bench.crossover(most, &verbs).await?;
    }
    Ok(results)
}
