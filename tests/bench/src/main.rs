//! `cargo xtask bench`: the figures of `tests/bench/README.md`, measured on this machine.
//!
//! Every figure is printed with its bar and whether it holds. Times depend on the machine; where a bar
//! is relative, what it is relative to is measured in the same run.
#![expect(clippy::print_stdout, reason = "this program talks to a person")]

mod builds;
mod deploys;
mod detection;
mod figure;
mod history;
mod plugin_call;
mod plugins;
mod start;

use anyhow::{Result, bail};
use figure::Figure;

type Measurement = fn() -> Result<Vec<Figure>>;

const ALL: [(&str, Measurement); 7] = [
    ("plugin-call", plugin_call::measure),
    ("plugins", plugins::measure),
    ("detection", detection::measure),
    ("start", start::measure),
    ("deploys", deploys::measure),
    ("history", history::measure),
    ("builds", builds::measure),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &str| ALL.iter().any(|(known, _)| *known == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("there is no measurement {unknown:?}; there are: {}", names.join(", "));
    }
    let mut figures = Vec::new();
    for (name, measure) in ALL {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            println!("measuring {name} …");
            figures.extend(measure()?);
        }
    }
    println!("\n{}", figure::table(&figures));
    let missed = figures.iter().filter(|figure| !figure.holds()).count();
    if missed > 0 {
        bail!("{missed} of {} figures miss their bar", figures.len());
    }
    Ok(())
}
