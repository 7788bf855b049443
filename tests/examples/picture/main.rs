//! The pictures in the README and the book: the screen at the places of the story that are worth one, drawn from what tmux
//! shows. `cargo xtask picture` runs this, as root.

mod drawing;

use std::{fs, path::Path, process::ExitCode};

use drawing::Paper;

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    fs::create_dir_all(&folder).expect("the book has a folder for its pictures");
    let keep = |name: &str, screen: &vt100::Screen| {
        let paper = if name == "light" { Paper::LIGHT } else { Paper::DARK };
        let path = folder.join(format!("{name}.svg"));
        fs::write(&path, drawing::svg(screen, paper)).expect("the picture is written");
        println!("{}", path.display());
    };
    if maglev_tests::story::tell(keep) && maglev_tests::watch_kind_node(keep) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
