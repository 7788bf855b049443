//! A program that does nothing to packets, under a name of somebody else's.

use std::fs;

use aya::Ebpf;
use object::build::elf::Builder;

/// The observer's programs, one of them under another name, as the kernel tells it: its maps are its own, and it passes
/// every packet on.
///
/// # Panics
///
/// When there is no program of the first name, or the kernel does not take the maps.
#[must_use]
pub fn renamed_observer(from: &str, to: &str) -> Ebpf {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../probe-ebpf/loader/object/observer.bpf.o");
    let object = fs::read(path).expect("the kept object is read");
    let mut builder = Builder::read(object.as_slice()).expect("an object");
    let named = builder.symbols.iter_mut().find(|symbol| symbol.name.as_slice() == from.as_bytes());
    named.expect("a program of that name").name = to.as_bytes().into();
    let mut object = Vec::new();
    builder.write(&mut object).expect("an object");
    Ebpf::load(&object).expect("the kernel takes its maps")
}
