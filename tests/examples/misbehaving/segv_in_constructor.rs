//! Crashes while it is being loaded, before the host can check anything.

#![expect(unsafe_code, reason = "constructors need a link section")]

mod identity;
mod segv;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

/// The loader calls what stands in this section, before `dlopen` returns.
#[used]
// SAFETY: the loader expects function pointers of this type there.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    segv::segv();
}

#[derive(Default)]
struct SegvInConstructor;

impl Behaviour for SegvInConstructor {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-segv-in-constructor", "test");
}

export_plugin! { id: "bad-segv-in-constructor", codecs: [Identity<SegvInConstructor>] }
