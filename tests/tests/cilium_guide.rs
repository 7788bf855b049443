//! What `docs/cilium-nodes.md` says that the commands print is what they print: on a node's maps in the real kernel.
//!
//! `MAGLEV_UPDATE_GUIDE=1` writes what they print into the page.

use std::{env, fs, path::Path, process::Command};

use maglev_tests::{KIND_SERVICES, Rig, kind_node, maglev_top, scale_up};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cilium-nodes.md");
const BLOCK: &str = "```console\n";
const PROMPT: &str = "$ maglev-top ";
/// From here on, a fourth pod is there.
const SCALED: &str = "$ kubectl scale";

/// What a command of the page prints, on either stream.
fn printed(rig: &Rig, names: &Path, words: &str) -> String {
    let mut command = Command::new(maglev_top());
    for word in words.split_whitespace() {
        command.arg(if word == "services.json" { names.to_str().unwrap() } else { word });
    }
    let output = command.arg("--pins").arg(&rig.folder).args(["--run-dir", "/nonexistent"]).output().unwrap();
    let lines = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Words of a text without those that another kernel, or another day, has others for: the ids of maps and their memory.
fn lasting(text: &str) -> Vec<Vec<String>> {
    const UNITS: [&str; 3] = ["B", "KiB", "MiB"];
    const TYPES: [&str; 4] = ["hash", "array", "hash_of_maps", "lru_hash"];
    let line = |line: &str| -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let lasts = |at: usize| {
            let before = at.checked_sub(1).map_or("", |before| words[before]);
            let behind = words.get(at + 1).copied().unwrap_or_default();
            let (is_id, is_unit) = (TYPES.contains(&before) || before == "map", |word| UNITS.contains(word));
            !is_id && !is_unit(&behind) && !is_unit(&words[at])
        };
        (0..words.len()).filter(|at| lasts(*at)).map(|at| words[at].to_owned()).collect()
    };
    text.trim_end().lines().map(line).collect()
}

#[test]
fn the_page_shows_what_the_commands_print() {
    let Some(rig) = kind_node() else { return };
    let names = env::temp_dir().join(format!("maglev-guide-{}.json", std::process::id()));
    fs::write(&names, KIND_SERVICES).unwrap();
    let page = fs::read_to_string(PAGE).unwrap();
    let mut written = String::new();
    let (mut rest, mut commands) = (page.as_str(), 0);
    while let Some(begin) = rest.find(BLOCK) {
        let (before, block) = rest.split_at(begin + BLOCK.len());
        let end = block.find("```").expect("a block ends");
        written.push_str(before);
        let shown = &block[..end];
        let first = shown.lines().next().unwrap_or_default();
        if first.starts_with(SCALED) {
            scale_up(&rig);
        }
        match first.strip_prefix(PROMPT) {
            Some(words) => {
                commands += 1;
                let printed = printed(&rig, &names, words);
                let expected = &shown[first.len()..];
                if env::var_os("MAGLEV_UPDATE_GUIDE").is_none() {
                    assert_eq!(
                        lasting(&printed),
                        lasting(expected.trim_start()),
                        "{first} prints\n{printed}"
                    );
                }
                written.extend([first, "\n", printed.trim_end(), "\n"]);
            }
            None => written.push_str(shown),
        }
        rest = &block[end..];
    }
    fs::remove_file(names).unwrap();
    assert!(commands >= 9, "the page has its commands");
    if env::var_os("MAGLEV_UPDATE_GUIDE").is_some() {
        fs::write(PAGE, written + rest).unwrap();
    }
}
