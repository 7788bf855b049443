//! A program that does the same as the one that is kept, and is another one.

use std::{collections::BTreeSet, fs, path::Path};

use object::{Object as _, ObjectSection as _};

/// The section that the programs are in.
const SECTION: &str = "xdp.frags";

/// The size of an instruction (kernel: struct `bpf_insn`).
const INSTRUCTION: usize = 8;

/// The object that is kept, as bytes.
///
/// # Panics
///
/// When it cannot be read.
#[must_use]
pub fn kept_object() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../probe-ebpf/loader/object/maglev.bpf.o");
    fs::read(path).expect("the kept object is read")
}

/// Writes an object to `path` that differs from the kept one in the order of two instructions, which do not depend on
/// each other: the kernel takes it for another program, and packets do not notice.
///
/// # Panics
///
/// When there are no two such instructions, or the file cannot be written.
pub fn write_altered_object(path: &Path) {
    let mut bytes = kept_object();
    let (begin, size) = {
        let file = object::File::parse(&*bytes).expect("the object is read");
        let section = file.section_by_name(SECTION).expect("the section of the programs");
        section.file_range().expect("the section is in the file")
    };
    let range = usize::try_from(begin).unwrap()..usize::try_from(begin + size).unwrap();
    let code = &mut bytes[range];
    let place = independent_pair(code).expect("two constants that are loaded one after the other");
    let (first, second) = code[place..place + 2 * INSTRUCTION].split_at_mut(INSTRUCTION);
    first.swap_with_slice(second);
    fs::write(path, bytes).expect("the altered object is written");
}

/// Where two instructions are that load constants into two registers, the second of which nobody jumps to.
fn independent_pair(code: &[u8]) -> Option<usize> {
    /// `BPF_ALU64 | BPF_MOV | BPF_K` and `BPF_ALU | BPF_MOV | BPF_K`.
    const LOADS: [u8; 2] = [0xb7, 0xb4];
    let instructions: Vec<&[u8]> = code.chunks_exact(INSTRUCTION).collect();
    let targets: BTreeSet<i64> = instructions
        .iter()
        .zip(0..)
        .filter_map(|(instruction, index)| Some(index + 1 + jump(instruction)?))
        .collect();
    let is_pair = |(place, pair): &(usize, &[&[u8]])| {
        pair.iter().all(|one| LOADS.contains(&one[0]))
            && pair[0][1] != pair[1][1]
            && !targets.contains(&i64::try_from(place + 1).unwrap())
    };
    instructions.windows(2).enumerate().find(is_pair).map(|(place, _)| place * INSTRUCTION)
}

/// How far an instruction jumps, if it does.
fn jump(instruction: &[u8]) -> Option<i64> {
    const CALL: u8 = 0x80;
    const EXIT: u8 = 0x90;
    let (class, operation) = (instruction[0] & 7, instruction[0] & 0xf0);
    let near = i64::from(i16::from_le_bytes([instruction[2], instruction[3]]));
    let far = i64::from(i32::from_le_bytes(instruction[4..8].try_into().expect("four bytes")));
    match (class, operation) {
        (5 | 6, CALL | EXIT) => None,
        (6, 0) => Some(far),
        (5 | 6, _) => Some(near),
        _ => None,
    }
}
