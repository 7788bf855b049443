//! Taking out of an object what neither the kernel nor the loader reads.

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

use crate::error::Error;

/// The object without debugging information in DWARF, of which its BTF was made, and without relocations of BTF,
/// which loaders do not need. Functions have their names without what the compiler adds to them, which goes by the folder
/// that it was called in: one source gives one object.
pub(crate) fn strip(object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete =
            [b".debug".as_slice(), b".rel.debug", b".rel.BTF"].iter().any(|of| name.starts_with(of));
    }
    for symbol in &mut builder.symbols {
        if let Ok(name) = rustc_demangle::try_demangle(&symbol.name.to_string()) {
            symbol.name = format!("{name:#}").into_bytes().into();
        }
    }
    // LLVM has the names of sections and of symbols in one table; two are written.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}
