//! The manual page, in roff.

use std::io;

use clap::{Arg, Command, Id};
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};

use crate::{
    cli,
    monitor::{action::sections, command},
};

/// The manual's section: programs for who administers a system.
const SECTION: &str = "8";

const EXIT_STATUS: [(&str, &str); 4] = [
    ("0", "Done."),
    ("1", "It failed, or the time of --timeout is up. Standard error says what, and what to do."),
    (
        "2",
        "The words or the configuration are wrong: standard error names the word, or the file, line and key.",
    ),
    ("3", "table verify, cilium verify and doctor: they ran, and found a fault."),
];

/// What stands in no option's own text.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("MAGLEV_TOP_PREFERENCES", "Another file than ~/.config/maglev-top/config.toml."),
    ("XDG_CONFIG_HOME", "The folder that has maglev-top/config.toml in it, instead of ~/.config."),
    (
        "NO_COLOR",
        "Set to anything: no colours. CLICOLOR_FORCE set to anything but 0: 16 where there would be none.",
    ),
    ("TERM, COLORTERM", "How many colours the terminal has, where --color does not say."),
    ("COLORFGBG", "Whether the terminal is dark or light, where it does not answer when asked."),
    ("LC_ALL, LC_CTYPE, LANG", "Whether it has more than ASCII, where --ascii does not say."),
];

const FILES: [(&str, &str); 4] = [
    (
        "~/.config/maglev-top/config.toml",
        "How the monitor is to be: maglev-top --print-config prints one to begin with.",
    ),
    (
        "/sys/fs/bpf/maglev-top/INSTANCE/",
        "What is pinned of a running datapath: its program, links and maps.",
    ),
    ("/run/maglev-top/", "The pins that a group may read, after up --viewers."),
    ("/sys/fs/bpf/tc/globals/", "Where Cilium pins its maps, unless --pins says otherwise."),
];

const EXAMPLES: [(&str, &str); 6] = [
    ("maglev-top demo", "Look at it without a configuration: real packets between network namespaces."),
    ("maglev-top up --config web.toml", "Bring a datapath up. It stays when the command has returned."),
    ("maglev-top", "The monitor on it."),
    (
        "maglev-top backend drain --service web web-1 --wait",
        "Take a backend out, and return when it is safe to remove.",
    ),
    ("maglev-top lookup --service web --flow 198.51.100.7:4000", "Who gets that client's flow?"),
    ("maglev-top doctor", "What is wrong on this host, and how to mend it?"),
];

/// The page.
#[must_use]
pub fn page() -> String {
    let mut program = cli::visible().override_usage("maglev-top [OPTIONS] [COMMAND]");
    program.build();
    let man = Man::new(program.clone()).title("MAGLEV-TOP").section(SECTION).manual("System Administration");
    let mut page = written(|out| man.render_title(out));
    page += &section(|out| man.render_name_section(out));
    page += &section(|out| man.render_synopsis_section(out));
    page += &description();
    page += &section(|out| man.render_options_section(out));
    page += &commands(&program);
    page += &keys();
    page += &list("EXIT STATUS", &EXIT_STATUS);
    page += &list("ENVIRONMENT", &ENVIRONMENT);
    page += &list("FILES", &FILES);
    page += &list("EXAMPLES", &EXAMPLES);
    page
}

/// What is written into memory, where writing does not fail.
fn written(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    render(&mut bytes).expect("memory takes what is written");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A section, without the definitions that each is written with; nothing where there is none.
fn section(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    written(render).split_once(".SH ").map_or_else(String::new, |(_, section)| format!(".SH {section}"))
}

fn description() -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([
        bold("maglev-top"),
        roman(
            " attaches an XDP load balancer that chooses backends by Maglev's lookup tables, counts what it sends to \
             each backend and table slot, and lets backends be added, drained, weighed and removed while it runs. No \
             established connection is broken by a drain. On a Cilium node it reads Cilium's own Maglev tables. Without \
             a command the monitor opens on the running datapath.",
        ),
    ]);
    roff.to_roff()
}

/// Every command, those that consist of others before them, each with the options that are its own.
fn commands(program: &Command) -> String {
    let mut text = Roff::new().control("SH", ["COMMANDS"]).to_roff();
    let common: Vec<&Id> = program.get_arguments().map(Arg::get_id).collect();
    for command in program.get_subcommands() {
        text += &one(command, &common);
    }
    text
}

/// A command and what it consists of, without the options that are told already.
fn one(command: &Command, told: &[&Id]) -> String {
    let own = command.clone().mut_args(|argument| {
        let hidden = told.contains(&argument.get_id());
        argument.hide(hidden)
    });
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let look = if command.get_arguments().any(|argument| argument.get_id() == "theme") {
        " The monitor's options are taken too."
    } else {
        ""
    };
    let mut roff = Roff::new();
    roff.control("SS", [name.split_once(' ').map_or(name, |(_, words)| words)]);
    roff.text([roman(format!("{about}.{look}"))]);
    let mut text = roff.to_roff();
    let own = Man::new(own);
    if !command.has_subcommands() {
        let synopsis = section(|out| own.render_synopsis_section(out));
        text += ".PP\n";
        text += synopsis.strip_prefix(".SH SYNOPSIS\n").unwrap_or_default();
    }
    let options = section(|out| own.render_options_section(out));
    // The heading is for a page of its own.
    text += options.strip_prefix(".SH OPTIONS\n").unwrap_or_default();
    let told: Vec<&Id> = told.iter().copied().chain(command.get_arguments().map(Arg::get_id)).collect();
    for command in command.get_subcommands() {
        text += &one(command, &told);
    }
    text
}

/// The monitor's keys, from the table that they are dispatched by.
fn keys() -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["KEYS OF THE MONITOR"]);
    roff.text([roman(
        "Where no others were chosen in the file below. What says \"shown first\" shows what it would do, and does it when \
         it is told to.",
    )]);
    for (context, bindings) in sections() {
        roff.control("SS", [context.title()]);
        for binding in bindings {
            let keys: Vec<Inline> = binding.keys.iter().map(|key| bold(key.written())).collect();
            let mut heading = Vec::new();
            for key in keys {
                if !heading.is_empty() {
                    heading.push(roman(", "));
                }
                heading.push(key);
            }
            if heading.is_empty() {
                heading.push(italic("in the palette"));
            }
            let shown = if binding.changes { " (shown first)" } else { "" };
            item(&mut roff, heading, &format!("{}{}{shown}", binding.description, binding.also()));
        }
    }
    roff.control("SS", ["words of the palette that another follows"]);
    for (words, description) in command::described() {
        item(&mut roff, vec![bold(words)], description);
    }
    roff.to_roff()
}

fn list(title: &str, items: &[(&str, &str)]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (heading, text) in items {
        item(&mut roff, vec![bold(*heading)], text);
    }
    roff.to_roff()
}

fn item(roff: &mut Roff, heading: Vec<Inline>, text: &str) {
    roff.control("TP", []);
    roff.text(heading);
    roff.text([roman(text)]);
}
