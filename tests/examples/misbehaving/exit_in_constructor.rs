//! Ends the process while it is being loaded, with the exit code of success.

#![expect(unsafe_code, reason = "constructors need a link section")]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

/// The loader calls what stands in this section, before `dlopen` returns.
#[used]
// SAFETY: the loader expects function pointers of this type there.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    std::process::exit(0);
}

#[derive(Default)]
struct ExitInConstructor;

impl Behaviour for ExitInConstructor {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-exit-in-constructor", "test");
}

export_plugin! { id: "bad-exit-in-constructor", codecs: [Identity<ExitInConstructor>] }
