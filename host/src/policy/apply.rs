//! Compression by policy: from a policy to what the pipeline is asked for.

use super::{AUTO, FILE_NAME, Installed, Policies, Policy};
use crate::{
    Host, Metadata, Request, Result, Wanted,
    host::usable,
    pipeline::{CompressOptions, Filtering},
    sync::lock,
};
use std::{path::Path, sync::Arc};

impl Policy {
    /// Whether algorithm, level and filter are chosen for each piece of data.
    pub fn is_auto(&self) -> bool {
        self.algorithm == AUTO
    }

    /// What it asks of an implementation, where it names the algorithm.
    pub fn request(&self) -> Request {
        Request {
            level: self.level,
            bytes: Some(self.chunk_bytes),
            hardware: self.hardware.clone(),
            implementation: self.implementation.clone(),
            ..Request::new(&self.algorithm)
        }
    }

    /// What it chooses by, where it does not name the algorithm.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            objective: self.objective.unwrap_or_default(),
            filter: match self.filter {
                Some(Filtering::Always(filter)) => Some(filter),
                Some(Filtering::Auto) | None => None,
            },
            hardware: self.hardware.clone(),
            ..Wanted::default()
        }
    }

    /// How it compresses a stream.
    pub fn options(&self) -> CompressOptions {
        CompressOptions {
            chunk_bytes: usize::try_from(self.chunk_bytes).ok(),
            filter: self.filter.unwrap_or_default(),
            parity_percent: self.parity_percent,
            ..CompressOptions::default()
        }
    }
}

impl Host {
    /// The policies in force, by the files of the configuration; opened when they are first asked for.
    ///
    /// # Errors
    /// As [`PolicySet::open`](super::PolicySet::open).
    pub fn policies(&self) -> Result<Arc<Policies>> {
        let mut policies = lock(&self.policies);
        if let Some(open) = &*policies {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(Policies::open(self.config().policy_files.clone())?);
        Ok(Arc::clone(policies.insert(open)))
    }

    /// Puts `policies` in force, in place of what the configuration says.
    pub fn set_policies(&self, policies: Arc<Policies>) {
        *lock(&self.policies) = Some(policies);
    }

    /// The policy in force for resources of a type; that of `default` for types that no file names. Files that change are
    /// followed when [`Policies::reload_if_changed`] is called.
    ///
    /// # Errors
    /// As [`policies`](Self::policies).
    pub fn get_resource_policy(&self, resource_type: &str) -> Result<Policy> {
        Ok(self.policies()?.current().get(resource_type).clone())
    }

    /// Compresses `data` into a container as the policy of its type says how; a level that nothing installed has is brought to the
    /// nearest. When to is for the caller to say: thresholds and `min_savings` are not looked at. [`decompress_data`](Self::decompress_data) reads it.
    ///
    /// # Errors
    /// As [`policies`](Self::policies) and [`compressor`](Self::compressor).
    pub fn compress_with_policy(&self, data: &[u8], resource_type: &str) -> Result<(Vec<u8>, Metadata)> {
        self.compress_by(data, &self.get_resource_policy(resource_type)?)
    }

    /// As [`compress_with_policy`](Self::compress_with_policy), by a policy at hand.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor), and [`Error::Usage`](crate::Error::Usage) where nothing can be chosen.
    pub fn compress_by(&self, data: &[u8], policy: &Policy) -> Result<(Vec<u8>, Metadata)> {
        let (mut request, mut options) = (policy.request(), policy.options());
        request.level = self.installed().level(policy);
        if policy.is_auto() {
            let choice = self.choose_for_like(data, &policy.wanted())?;
            request = Request { algorithm: choice.algorithm.clone(), ..request }.level(choice.level);
            options.filter = Filtering::Always(choice.filter);
        }
        self.safe_compress_with(data, &request.like(data), &options)
    }

    /// What policies are checked against: the codecs that can be used now.
    pub fn installed(&self) -> Installed {
        let snapshot = self.snapshot();
        Installed::new(usable(&snapshot).map(|(_, codec)| codec.info.clone()))
    }
}

/// The policy file in a configuration folder.
pub(crate) fn file_in(config_dir: &Path) -> std::path::PathBuf {
    config_dir.join(FILE_NAME)
}
