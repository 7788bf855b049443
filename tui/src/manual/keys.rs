//! The keys, as a page of the book.

use std::fmt::Write as _;

use crate::monitor::{
    action::{Binding, sections},
    command,
};

/// How to make the page anew.
const HEAD: &str = "\
# Keys

Every key of the monitor where no others were chosen: `?` shows those that hold, `:` does anything by its name, and
`maglev-top --print-config` prints names and keys as a file to begin with. This page is made from the table that the keys
are dispatched by: `cargo run -p maglev-top --example keys > docs/keys.md`.
";

/// `docs/keys.md`.
#[must_use]
pub fn keys() -> String {
    let mut page = HEAD.to_owned();
    for (context, bindings) in sections() {
        let title = context.title();
        let _ = write!(
            page,
            "\n## {}{}\n\n| keys | name | |\n|---|---|---|\n",
            title[..1].to_uppercase(),
            &title[1..]
        );
        for binding in bindings {
            let shown = if binding.changes { " (shown first)" } else { "" };
            let row = [
                keys_of(binding),
                format!("`{}`", binding.name()),
                format!("{}{}{shown}", binding.description, binding.also()),
            ];
            let _ = writeln!(page, "| {} |", row.join(" | "));
        }
    }
    page.push_str("\n## Words of the palette that another follows\n\n| words | |\n|---|---|\n");
    for (words, description) in command::described() {
        let _ = writeln!(page, "| `{words}` | {description} |");
    }
    page
}

fn keys_of(binding: &Binding) -> String {
    if binding.keys.is_empty() {
        return "in the palette".to_owned();
    }
    // A bar would end the cell, even in code.
    let keys = binding.keys.iter().map(|key| format!("`{}`", key.written().replace('|', "\\|")));
    keys.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn the_book_has_the_keys_that_there_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/keys.md");
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == super::keys(),
            "docs/keys.md is not the table's any more: `cargo run -p maglev-top --example keys > docs/keys.md`"
        );
    }
}
