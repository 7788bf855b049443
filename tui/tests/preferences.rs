//! The operator's file, as the program itself takes it.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// Runs the program with `text` as the operator's file, where it would look for it.
fn with(text: &str, arguments: &[&str]) -> Output {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let home: PathBuf =
        env::temp_dir().join(format!("maglev-top-preferences-{}-{number}", std::process::id()));
    fs::create_dir_all(home.join("maglev-top")).unwrap();
    fs::write(home.join("maglev-top/config.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_maglev-top"))
        .args(arguments)
        .env("XDG_CONFIG_HOME", &home)
        .env_remove("MAGLEV_TOP_PREFERENCES")
        .output()
        .unwrap();
    fs::remove_dir_all(home).unwrap();
    output
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_that_is_wrong_is_refused_before_anything_else() {
    for arguments in [&["--instance", "nowhere"][..], &["demo", "--simulate"]] {
        let output = with("mouse = false\n\n[keys]\ndrain = [\"x\"]\n", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", error(&output));
        let told = "maglev-top/config.toml:4: keys.drain: x is a key for remove";
        assert!(error(&output).contains(told), "{arguments:?}: {}", error(&output));
    }
}

#[test]
fn a_file_that_is_right_stands_in_nobodys_way() {
    let output = with("theme = \"light\"\n", &["--instance", "nowhere"]);
    assert!(error(&output).contains("no datapath is running as instance nowhere"), "{}", error(&output));
    let output = with("nonsense = 1\n", &["status", "--instance", "nowhere"]);
    assert!(!error(&output).contains("nonsense"), "it is for the monitor alone: {}", error(&output));
}

#[test]
fn what_is_printed_to_begin_with_is_taken() {
    let output = with("nonsense = 1\n", &["--print-config"]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\ndrain = [\"d\"] #"), "{text}");
    let output = with(&text, &["--instance", "nowhere"]);
    assert!(error(&output).contains("no datapath is running"), "{}", error(&output));
}
