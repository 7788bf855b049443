//! The picture in the README: the screen of a real run of the demo, drawn from what the program wrote to its terminal.

mod drawing;
mod terminal;

use std::{fs, path::Path, process::Command, time::Duration};

use crate::{
    error::{Error, at},
    run::run,
};
use terminal::Terminal;

/// What is done in the demo, and for how long the screen is then left to change.
const STORY: &[(&[u8], Duration)] = &[
    // Connections come first.
    (b"", Duration::from_secs(8)),
    // The backends; drain the second one: down, drain, from Cancel to the other button, yes.
    (b"2", Duration::from_millis(500)),
    (b"j", Duration::from_millis(500)),
    (b"d", Duration::from_secs(1)),
    (b"\t", Duration::from_millis(300)),
    (b"\r", Duration::from_secs(1)),
    // The slots.
    (b"3", Duration::from_secs(2)),
];

/// Runs the demo in a terminal of its own and draws its screen.
pub(crate) fn draw(root: &Path) -> Result<(), Error> {
    run(Command::new(env!("CARGO")).current_dir(root).args([
        "build",
        "--release",
        "--package",
        "maglev-top",
    ]))?;
    let mut terminal =
        Terminal::start(&root.join("target/release/maglev-top"), &["demo", "--color", "truecolor"])?;
    for (keys, pause) in STORY {
        terminal.press(keys)?;
        terminal.watch(*pause)?;
    }
    let picture = drawing::svg(terminal.screen());
    terminal.press(b"q")?;
    terminal.end()?;
    let path = root.join("docs/picture.svg");
    fs::write(&path, picture).map_err(at(&path))?;
    println!("{}", path.display());
    Ok(())
}
