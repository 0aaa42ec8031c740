//! `compress --resource-type`: what the policy says, where the arguments say nothing.

use super::{compress::by_extension, policy::tell_unnamed};
use crate::{
    Failure,
    arguments::{Common, CompressArguments},
};
use clipsmaster_host::{
    Host, algorithm,
    policy::{Key, Setting},
};

/// `arguments` with what the policy of their resource type says in the gaps. What is given wins, as the highest layer of the
/// policy: a level of the policy's own algorithm does not go with another.
pub(super) fn filled(
    common: &Common,
    host: &Host,
    arguments: &CompressArguments,
) -> Result<CompressArguments, Failure> {
    let mut filled = arguments.clone();
    let Some(resource_type) = &arguments.resource_type else { return Ok(filled) };
    let in_force = host.policies()?.current();
    if !in_force.contains(resource_type) {
        tell_unnamed(common, &in_force, resource_type);
    }
    let set = in_force.with(resource_type, given(host, arguments)?).map_err(Failure::usage)?;
    let policy = set.get(resource_type);
    filled.algorithm = Some(policy.algorithm.clone());
    // A level that was asked for here is taken at its word.
    filled.level = if arguments.level.is_some() { policy.level } else { host.installed().level(policy) };
    filled.hardware = policy.hardware.clone();
    filled.implementation = policy.implementation.clone();
    filled.chunk_size = Some(policy.chunk_bytes);
    filled.parity = Some(policy.parity_percent);
    filled.filter = policy.filter;
    if policy.is_auto() {
        let chosen_by = policy.objective.map(Into::into);
        filled.auto.objective = arguments.auto.objective.or(chosen_by);
    }
    Ok(filled)
}

/// What the arguments themselves say. The output's name says an algorithm, too.
fn given(host: &Host, arguments: &CompressArguments) -> Result<Vec<Setting>, Failure> {
    let named = || arguments.to.output.as_deref().and_then(|path| by_extension(host, path));
    let of_implementation = || arguments.implementation.as_ref()?.split('/').next().map(str::to_owned);
    let algorithm = arguments.algorithm.clone().or_else(of_implementation).or_else(named);
    let mut settings: Vec<Setting> = Vec::new();
    settings.extend(algorithm.map(|a| Setting::Algorithm(algorithm::canonical(&a))));
    settings.extend(arguments.level.map(|level| Setting::Level(Some(level))));
    settings.extend(arguments.chunk_size.map(Setting::ChunkSize));
    settings.extend(arguments.parity.map(Setting::Parity));
    settings.extend(arguments.filter.map(Setting::Filter));
    let read = |key, text: &Option<String>| match text {
        Some(text) => Setting::read(key, text).map(Some).map_err(Failure::usage),
        None => Ok(None),
    };
    let hardware = read(Key::Hardware, &arguments.hardware)?;
    let implementation = read(Key::Implementation, &arguments.implementation)?;
    // An implementation runs on its own hardware: one that is given does not go with the other of the policy.
    let either = hardware.is_some() || implementation.is_some();
    settings.extend(hardware.or(either.then_some(Setting::Hardware(None))));
    settings.extend(implementation.or(either.then_some(Setting::Implementation(None))));
    Ok(settings)
}
