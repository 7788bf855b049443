//! Prints the book's page of keys: `cargo run -p maglev-top --example keys > docs/keys.md`.

fn main() {
    print!("{}", maglev_top::manual::keys());
}
