//! What can be told about a library without running any of it: architecture, root symbol, identity.

use super::report::{PluginInfo, State, Verdict};
use clipsmaster_plugin_api::abi::{MANIFEST_SECTION, ROOT_SYMBOL};
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol,
    elf::{ET_DYN, FileHeader64},
    read::elf::ElfFile,
};

/// First line of the manifest section; see `export_plugin!`.
const SECTION_MARK: &str = "clipsmaster-plugin";

/// Examines the bytes of a shared library; the identity is what its manifest section says.
///
/// # Errors
/// `NotAPlugin` for libraries without the root symbol, `Incompatible` for another architecture,
/// `Failed` for a file that is damaged.
pub(crate) fn examine(bytes: &[u8]) -> Result<PluginInfo, Verdict> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(not_a_plugin("is not an ELF shared library"));
    }
    let elf = ElfFile::<FileHeader64<Endianness>>::parse(bytes).map_err(|e| {
        let wrong_class = bytes.get(4) == Some(&1);
        if wrong_class { other_architecture("32-bit") } else { damaged(&e.to_string()) }
    })?;
    let own = if cfg!(target_arch = "aarch64") {
        object::Architecture::Aarch64
    } else {
        object::Architecture::X86_64
    };
    if elf.architecture() != own {
        return Err(other_architecture(&format!("{:?}", elf.architecture())));
    }
    if elf.elf_header().e_type.get(elf.endian()) != ET_DYN {
        return Err(not_a_plugin("is an ELF file, but no shared library"));
    }
    // A file cut short parses as long as its headers are there: all loaded bytes must be.
    let whole = elf.elf_program_headers().iter().all(|segment| {
        let end = segment.p_offset.get(elf.endian()).checked_add(segment.p_filesz.get(elf.endian()));
        end.is_some_and(|end| end <= bytes.len() as u64)
    });
    if !whole {
        return Err(damaged("a segment lies beyond the end of the file"));
    }
    let exported = elf.dynamic_symbols().any(|s| s.is_definition() && s.name() == Ok(ROOT_SYMBOL));
    if !exported {
        return Err(not_a_plugin("has no plugin root symbol"));
    }
    let section = elf.section_by_name(MANIFEST_SECTION);
    let text = section.and_then(|s| s.data().ok()).and_then(|d| std::str::from_utf8(d).ok());
    Ok(text.map(identity).unwrap_or_default())
}

fn identity(text: &str) -> PluginInfo {
    let mut lines = text.lines();
    if lines.next() != Some(SECTION_MARK) {
        return PluginInfo::default();
    }
    let mut field = || lines.next().unwrap_or_default().to_owned();
    PluginInfo { id: field(), version: field(), ..PluginInfo::default() }
}

fn not_a_plugin(why: &str) -> Verdict {
    Verdict::new(State::NotAPlugin, why, "")
}

fn other_architecture(what: &str) -> Verdict {
    let remedy = format!("build it for {}", std::env::consts::ARCH);
    Verdict::new(State::Incompatible, format!("is built for another architecture ({what})"), remedy)
}

fn damaged(why: &str) -> Verdict {
    Verdict::new(State::Failed, format!("is a damaged ELF file: {why}"), "copy it there again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_not_plugins_and_never_a_panic() {
        assert_eq!(examine(b"hello").expect_err("text").state, State::NotAPlugin);
        assert_eq!(examine(b"").expect_err("empty").state, State::NotAPlugin);
        let own = std::fs::read("/proc/self/exe").expect("own program");
        assert_eq!(examine(&own).expect_err("a program").state, State::NotAPlugin);
        for cut in [4, 16, 63, 64, 100, 4096] {
            assert_ne!(examine(&own[..cut]).expect_err("cut").state, State::Ok);
        }
    }
}
