//! What a codec can answer besides success: a kind the host acts on, and a sentence for people.
//!
//! [`Error`] is what authors return; [`Status`] is the same kind as a plain number, which is all
//! that crosses the boundary (the message goes into a buffer the caller owns).

use abi_stable::StableAbi;
use std::{fmt, io};

/// `Result` of everything a codec does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Outcome of a call across the boundary. An open set: a number this version does not know is
/// read as [`ErrorKind::Internal`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub i32);

impl Status {
    /// The call did all it was asked.
    pub const OK: Self = Self(0);
}

/// Why a call failed; the host decides by it whether to try another implementation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The destination cannot hold the result. Retry the whole call with a larger one.
    DestinationTooSmall,
    /// The input is not a valid frame, or a checksum does not match.
    Corrupt,
    /// The input ends before the frame does.
    Truncated,
    /// The frame or request is valid, but this codec cannot do it; another may.
    Unsupported,
    /// The device or its library went away.
    DeviceLost,
    /// Memory ran out, or a limit given by the caller was met.
    OutOfMemory,
    /// The codec panicked; the instance must not be used again.
    Panicked,
    /// The source handed to a stream decoder failed.
    Read,
    /// Anything else.
    Internal,
    /// Everything was decoded, and what follows the last frame is something else, which the format's own tool ignores. From
    /// stream decoders only, in place of the end.
    Trailing,
}

const KINDS: [(ErrorKind, i32); 10] = [
    (ErrorKind::DestinationTooSmall, 1),
    (ErrorKind::Corrupt, 2),
    (ErrorKind::Truncated, 3),
    (ErrorKind::Unsupported, 4),
    (ErrorKind::DeviceLost, 5),
    (ErrorKind::OutOfMemory, 6),
    (ErrorKind::Panicked, 7),
    (ErrorKind::Read, 8),
    (ErrorKind::Internal, 9),
    (ErrorKind::Trailing, 10),
];

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        let number = KINDS.iter().find(|(k, _)| *k == kind).map_or(9, |(_, n)| *n);
        Self(number)
    }
}

impl From<Status> for ErrorKind {
    fn from(status: Status) -> Self {
        KINDS.iter().find(|(_, n)| *n == status.0).map_or(Self::Internal, |(k, _)| *k)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DestinationTooSmall => "destination too small",
            Self::Corrupt => "corrupt input",
            Self::Truncated => "truncated input",
            Self::Unsupported => "unsupported",
            Self::DeviceLost => "device lost",
            Self::OutOfMemory => "out of memory",
            Self::Panicked => "plugin panicked",
            Self::Read => "reading the source failed",
            Self::Internal => "internal error",
            Self::Trailing => "other data behind the last frame",
        })
    }
}

/// A codec's error: the kind, and a message in lower case without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What the host acts on.
    pub kind: ErrorKind,
    /// What people read; may be empty.
    pub message: String,
}

impl Error {
    /// An error of `kind`, explained by `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// [`ErrorKind::Corrupt`], explained by the decoder's own error.
    pub fn corrupt(source: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, source.to_string())
    }

    /// [`ErrorKind::Internal`], explained by the library's own error.
    pub fn internal(source: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, source.to_string())
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, String::new())
    }
}

/// The kinds that `std::io` names, so that authors can use `?` on a crate's `Read` adaptors:
/// `UnexpectedEof` is truncated, `WriteZero` a full destination, other errors corrupt input.
impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        if let Some(own) = e.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return own.clone();
        }
        let kind = match e.kind() {
            io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
            io::ErrorKind::WriteZero => ErrorKind::DestinationTooSmall,
            io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        };
        Self::new(kind, e.to_string())
    }
}

/// The other way: for readers that meet a codec's error. The error itself is kept inside.
impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        let kind = match e.kind {
            ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
            ErrorKind::DestinationTooSmall => io::ErrorKind::WriteZero,
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Corrupt => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, e)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { self.kind.fmt(f) } else { write!(f, "{}: {}", self.kind, self.message) }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_boundary() {
        for (kind, _) in KINDS {
            assert_eq!(ErrorKind::from(Status::from(kind)), kind);
            assert_ne!(Status::from(kind), Status::OK);
        }
    }

    #[test]
    fn an_error_survives_a_reader() {
        let e = Error::new(ErrorKind::Internal, "why");
        assert_eq!(Error::from(io::Error::from(e.clone())), e);
    }

    #[test]
    fn an_unknown_status_is_internal() {
        assert_eq!(ErrorKind::from(Status(-7)), ErrorKind::Internal);
        assert_eq!(ErrorKind::from(Status(1000)), ErrorKind::Internal);
    }
}
