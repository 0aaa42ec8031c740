//! Whether the device, its driver and nvCOMP are here, and if not, what to do about it.

use crate::{
    device::{self, Device},
    engine::{Engine, Setup},
    nvcomp::{self, Nvcomp},
    rounds::FEWEST_PIECES,
    search,
};
use clipsmaster_plugin_api::{Error, ErrorKind, Unavailable};
use std::panic::catch_unwind;

/// The device's identity, for a codec that would be opened by `setup`.
pub(crate) fn probe(setup: &Setup) -> Result<String, Unavailable> {
    let setup = *setup;
    // cudarc panics where a function of the driver is missing.
    let found = catch_unwind(move || look(&setup));
    found.unwrap_or_else(|panic| {
        std::mem::forget(panic);
        Err(missing("the NVIDIA driver cannot be used: it lacks a function", "install a newer driver"))
    })
}

fn missing(reason: impl Into<String>, remedy: impl Into<String>) -> Unavailable {
    Unavailable { reason: reason.into(), remedy: remedy.into() }
}

fn look(setup: &Setup) -> Result<String, Unavailable> {
    let device = Device::open(setup.device).map_err(without_device)?;
    let nvcomp = Nvcomp::get().map_err(|why| without_nvcomp(&why))?;
    let failed = |e: Error| match e.kind {
        ErrorKind::OutOfMemory => without_memory(&e.message),
        _ => missing(
            e.to_string(),
            "see whether `nvidia-smi` is content with the device; a restart of the driver may help",
        ),
    };
    let engine = Engine::open(setup).map_err(failed)?;
    let needed = engine.needed_bytes(FEWEST_PIECES, setup.piece_bytes).map_err(failed)?;
    let granted = engine.memory_bytes();
    if needed > granted {
        let (needed, granted) = (needed.div_ceil(1 << 20), granted >> 20);
        return Err(without_memory(&format!(
            "{needed} MiB for {FEWEST_PIECES} pieces, {granted} MiB granted"
        )));
    }
    let name = device.name().map_err(failed)?;
    let driver = device::driver_version().map_err(failed)?;
    Ok(format!("{name}, driver for CUDA {driver}, nvCOMP {}", nvcomp.version()))
}

fn without_device(why: device::Missing) -> Unavailable {
    use device::Missing;
    let remedy = match &why {
        Missing::Driver => {
            "install NVIDIA's driver, until `nvidia-smi` lists a device; in a container, hand the device in"
        }
        Missing::Symbol(_) => "install a driver for CUDA 12 or newer",
        Missing::NoDevice => {
            "see whether `nvidia-smi` lists a device, and whether CUDA_VISIBLE_DEVICES hides it"
        }
        Missing::Index(_) => "choose another index for the option `device`",
        Missing::Failed(_) => "see what `nvidia-smi` says; driver and kernel module must be of one version",
    };
    missing(Error::from(why).message, remedy)
}

fn without_nvcomp(why: &nvcomp::Missing) -> Unavailable {
    let remedy = format!(
        "`pip install nvidia-libnvcomp-cu12` (or -cu13), or name {} in {}",
        search::SONAME,
        search::VARIABLE
    );
    missing(why.to_string(), remedy)
}

fn without_memory(what: &str) -> Unavailable {
    missing(
        format!("too little memory on the device: {what}"),
        "end other programs that use the device (`nvidia-smi` lists them)",
    )
}
