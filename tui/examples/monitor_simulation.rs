//! The monitor on the simulation: `cargo run -p maglev-top --example monitor_simulation [-- VIEW]`.

use std::{env, error::Error, process::ExitCode, time::Duration};

use maglev_core::seed::HashSeed;
use maglev_top::{
    monitor::{Options, run, view::ViewName},
    simulation::{Simulation, demonstration, spares},
    terminal::capability::ColourChoice,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut options = Options::default();
    for argument in env::args().skip(1) {
        let view = ViewName::ALL.into_iter().find(|view| view.title().eq_ignore_ascii_case(&argument));
        match (argument.split_once('='), view) {
            (_, Some(view)) => options.view = view,
            (Some(("theme", theme)), _) => options.theme = Some(theme.to_owned()),
            (Some(("colour", colour)), _) => options.colour = colour.parse::<ColourChoice>()?,
            (Some(("interval", milliseconds)), _) => {
                options.interval = Some(Duration::from_millis(milliseconds.parse()?));
            }
            _ if argument == "ascii" => options.ascii = true,
            _ => return Err(format!("{argument}: no view and no option").into()),
        }
    }
    let simulation = Simulation::new(demonstration(), spares(), HashSeed::default(), 1)?;
    let ended = run(Box::new(simulation), options)?;
    Ok(ExitCode::from(ended.exit_status()))
}
