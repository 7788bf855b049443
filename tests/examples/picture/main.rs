//! The picture in the README: the screen of a real run of the demo, drawn from what the program wrote to its terminal.
//! `cargo xtask picture` runs this, as root.

mod drawing;

use std::{fs, io, num::NonZeroU16, path::Path, time::Duration};

use maglev_tests::{Terminal, maglev_top};

const COLUMNS: NonZeroU16 = NonZeroU16::new(110).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(32).unwrap();

fn main() -> io::Result<()> {
    let mut terminal = Terminal::start(maglev_top(), &["demo", "--color", "truecolor"], COLUMNS, ROWS);
    terminal.wait_for("web");
    // Connections come first.
    terminal.watch(Duration::from_secs(10));
    // Drain the second backend: down, drain, from Cancel to the other button, yes.
    terminal.press("2j");
    terminal.press("d");
    terminal.wait_for("Cancel");
    terminal.press("\t\r");
    terminal.wait_for("DRAINING");
    // Look at its slots.
    terminal.press("3");
    terminal.wait_for("settling");
    terminal.watch(Duration::from_secs(2));
    let picture = drawing::svg(terminal.screen());
    terminal.press("q");
    assert_eq!(terminal.end(), 0, "the demo did not leave in good order");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/picture.svg");
    fs::write(&path, picture)?;
    println!("{}", path.canonicalize()?.display());
    Ok(())
}
