//! The arguments of `policy`.

use super::{CompressArguments, Limits, OutputArguments};
use clap::{Args, Subcommand};
use clipsmaster_host::{
    policy::{Key, Setting},
    size,
};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum PolicyCommand {
    /// List what is in force for all types
    List(ListPolicies),
    /// Tell what is in force for one type, and where it comes from
    Show(ShowPolicy),
    /// Add a type to the project's file, or else the user's
    Create(CreatePolicy),
    /// Change values of a type
    Update(UpdatePolicy),
    /// Take a type out of a file
    Delete(DeletePolicy),
    /// Tell everything that is wrong in a policy file
    Verify(VerifyPolicy),
    /// Compress files by the policy of a type
    Apply(ApplyPolicy),
}

#[derive(Args, Debug)]
pub(crate) struct ListPolicies {
    /// Add what few types have, which layers name each, and the files in use
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ShowPolicy {
    /// Type of resource, e.g. model_weights
    #[arg(value_name = "TYPE")]
    pub resource_type: String,
    /// Add where each value comes from: file, line and column
    #[arg(long)]
    pub origin: bool,
}

/// The values of a type.
#[derive(Args, Debug)]
pub(crate) struct SettingsArguments {
    /// zstd, lz4, gzip, bzip2, xz, snappy, another that is installed, or `auto`
    #[arg(short, long, value_parser = reader(Key::Algorithm), value_name = "NAME")]
    pub algorithm: Option<Setting>,
    /// Level of the algorithm's reference implementation, or `default`
    #[arg(short, long, value_parser = reader(Key::Level), value_name = "N", allow_negative_numbers = true)]
    pub level: Option<Setting>,
    /// Bytes compressed at once, 4KB to 64MB
    #[arg(long, value_parser = reader(Key::ChunkSize), value_name = "BYTES")]
    pub chunk_size: Option<Setting>,
    /// yes (or true): without being asked; no (or false)
    #[arg(long, value_parser = reader(Key::AutoCompress), value_name = "yes|no")]
    pub auto_compress: Option<Setting>,
    /// Smaller ones are left alone: a number of MB, or a size such as 512KB
    #[arg(long, visible_alias = "threshold-mb", value_parser = threshold, value_name = "MB", allow_negative_numbers = true)]
    pub threshold: Option<Setting>,
    /// high, medium or low: how urgent it is to have such data at hand
    #[arg(long, value_parser = reader(Key::Priority))]
    pub priority: Option<Setting>,
    /// Only this hardware, or `auto`
    #[arg(long, value_parser = reader(Key::Hardware), value_name = "NAME")]
    pub hardware: Option<Setting>,
    /// Exactly this implementation, or `auto`
    #[arg(long, value_parser = reader(Key::Implementation), value_name = "ID")]
    pub implementation: Option<Setting>,
    /// Recovery data in percent of the result, 0 to 100
    #[arg(long, value_parser = reader(Key::Parity), value_name = "PCT")]
    pub parity: Option<Setting>,
    /// speed, balanced or ratio: what `--algorithm auto` chooses by
    #[arg(long, value_parser = reader(Key::Objective))]
    pub objective: Option<Setting>,
    /// What is done before the codec: none, shuffle2, shuffle4, shuffle8 or auto
    #[arg(long, value_parser = reader(Key::Filter))]
    pub filter: Option<Setting>,
    /// Share of the original, 0 to 1, that must be saved for the result to be kept
    #[arg(long, value_parser = reader(Key::MinSavings), value_name = "SHARE")]
    pub min_savings: Option<Setting>,
}

#[derive(Args, Debug)]
pub(crate) struct CreatePolicy {
    /// Type of resource; what is not given it takes from `default`
    #[arg(value_name = "TYPE")]
    pub resource_type: String,
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Write this file [default: the project's where there is one, or else the user's]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Replace an existing entry; write in spite of warnings
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct UpdatePolicy {
    /// Type of resource
    #[arg(value_name = "TYPE")]
    pub resource_type: String,
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Write this file [default: the project's where there is one, or else the user's]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write in spite of warnings
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DeletePolicy {
    /// Type of resource
    #[arg(value_name = "TYPE")]
    pub resource_type: String,
    /// Write this file [default: the project's where there is one, or else the user's]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyPolicy {
    /// Policy file
    pub file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ApplyPolicy {
    /// Type of resource
    #[arg(value_name = "TYPE")]
    pub resource_type: String,
    /// Files to compress; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub to: OutputArguments,
    #[command(flatten)]
    pub limits: Limits,
}

impl ApplyPolicy {
    /// The same as arguments of `compress`.
    pub(crate) fn compression(&self) -> CompressArguments {
        CompressArguments {
            input: self.input.clone(),
            to: self.to.clone(),
            resource_type: Some(self.resource_type.clone()),
            limits: self.limits.clone(),
            ..CompressArguments::default()
        }
    }
}

fn reader(key: Key) -> impl Fn(&str) -> Result<Setting, String> + Clone {
    move |text| Setting::read(key, text)
}

/// A number of MB, or a size with its unit.
fn threshold(text: &str) -> Result<Setting, String> {
    Setting::read(Key::ThresholdMb, text)
        .or_else(|why| size::parse(text).map(Setting::ThresholdMb).map_err(|_| why))
}
