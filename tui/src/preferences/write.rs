//! The preferences of somebody who prefers nothing, as a file to begin with.

use std::fmt::Write as _;

use crate::{
    monitor::{
        action::{Binding, sections},
        key::Key,
    },
    terminal::theme,
};

const HEAD: &str = "\
# How `maglev-top` is where nothing else is said; keep of it what is to be otherwise, in ~/.config/maglev-top/config.toml
# (or in the file that MAGLEV_TOP_PREFERENCES names). The command line and the environment come first.
";

/// A file that says what holds without one.
#[must_use]
pub fn defaults() -> String {
    let mut text = HEAD.to_owned();
    let _ = write!(
        text,
        "
# One of {}, or a file. Without it: dark or light, as the terminal is.
#theme = \"dark\"
# \"auto\", \"truecolor\", \"256\", \"16\" or \"never\"
color = \"auto\"
# Draw with ASCII alone.
ascii = false
# How often to look. Without it: each second, and each five with low-bandwidth.
#interval = \"1s\"
# Listen to the mouse: the terminal's own selecting then takes Shift.
mouse = false
# Send less: fewer colours and pixels, and less often.
low-bandwidth = false

# Keys: \"x\", \"Ctrl-x\", \"F5\", \"Space\", \"Enter\", \"Esc\", \"Tab\", \"Shift-Tab\", \"Up\", \"PgUp\", \"Home\", \"Del\" …
# An empty list leaves what has no key to the palette.
[keys]
",
        theme::names()
    );
    for (context, bindings) in sections() {
        let _ = writeln!(text, "\n# {}", context.title());
        for binding in bindings {
            let _ = writeln!(text, "{} = {} # {}", binding.name(), list(binding), binding.description);
        }
    }
    text
}

fn list(binding: &Binding) -> String {
    let text = |key: &Key| toml::Value::String(key.written()).to_string();
    let keys: Vec<String> = binding.keys.iter().map(text).collect();
    format!("[{}]", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{monitor::action::BINDINGS, preferences::Preferences};

    #[test]
    fn the_defaults_say_what_holds_without_them() {
        let preferences = Preferences::parse("defaults", &defaults()).unwrap();
        for binding in BINDINGS {
            assert_eq!(preferences.keymap.keys(binding), binding.keys, "{}", binding.name());
        }
        assert_eq!((preferences.ascii, preferences.mouse), (Some(false), Some(false)));
        let whole = defaults().replace("\n#theme", "\ntheme").replace("\n#interval", "\ninterval");
        let preferences = Preferences::parse("whole", &whole).unwrap();
        assert_eq!(preferences.theme.as_deref(), Some(theme::DEFAULT));
        assert!(preferences.interval.is_some());
    }
}
